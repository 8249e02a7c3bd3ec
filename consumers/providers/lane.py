"""May a call be sent now, and what does its end say of the provider?

A lane is one provider and model with its breaker, its concurrency and its quotas. It decides when; what a failure
means for the texts of a call is not its concern.
"""

import asyncio
import random
import time
from collections.abc import Sequence

from consumers.core.backoff import backoff
from consumers.core.blame import LONGEST_RETRY_AFTER_S
from consumers.core.breaker import Breaker, BreakerState
from consumers.core.concurrency import Concurrency
from consumers.core.lane import LaneHistory
from consumers.core.pace import Pace
from consumers.core.rate import TokenBucket
from consumers.core.remaining import Remaining
from consumers.core.spending import DailyBudget
from consumers.providers.openai import WITNESS
from consumers.providers.protocol import Provider, Reply
from schemas.errors import ConfigurationError, InputRejected, MalformedReply, ProviderError, RateLimited
from schemas.settings import ProviderSettings

LIMITED_FIRST_S, LIMITED_LONGEST_S = 0.25, 1.0
"""Pauses after 429s in a row that do not say how long: one call a second at the least finds out when it is over."""
CLOSED_AFTER = 3
"""After so many 429s in a row calls go one by one until one is taken."""
ASK_EVERY_S = 0.5


class Lane:
    """Let calls through one provider, as many and as often as it takes.

    A call is ``turn`` and then ``send``, or ``give_back`` where there is nothing left to send. ``calls`` is the number
    that were let through; ``watch`` has to run, for it finds out when a provider that was away is back.
    """

    def __init__(self, provider: Provider, settings: ProviderSettings, spending: DailyBudget) -> None:
        self.calls = 0
        self.history = LaneHistory()
        self.breaker = Breaker()
        self.concurrency = Concurrency(settings.concurrency)
        self.recovered = asyncio.Event()
        now = time.monotonic()
        self._provider = provider
        self._spending = spending
        self.pace = Pace(now)
        self._requests = _bucket(settings.rpm, settings.quota_fraction, now)
        self._tokens = _bucket(settings.tpm, settings.quota_fraction, now)
        self._under_way = 0
        self._held = False
        self._not_before = 0.0
        self._limited_in_a_row = 0
        self._remaining: tuple[float, Remaining] | None = None
        self._changed = asyncio.Event()
        self._opened = asyncio.Event()
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Lane {self._provider.model} {self.breaker!r} {self.concurrency!r} calls={self.calls}>"

    @property
    def model(self) -> str:
        """The model's name."""
        return self._provider.model

    @property
    def told_to_wait(self) -> bool:
        """Whether the provider asked for a pause that is not over."""
        return time.monotonic() < self._not_before

    @property
    def has_quota(self) -> bool:
        """Whether a share of a quota matters here."""
        return self._requests is not None or self._tokens is not None or self.pace.is_learnt

    def hold(self) -> None:
        """Let no call through."""
        self._held = True

    def release(self) -> None:
        """Go on."""
        self._held = False
        self._changed.set()

    def look_again(self) -> None:
        """Let those that wait for their turn ask again: the budget of the day has changed."""
        self._changed.set()

    def retry_now(self) -> None:
        """End the waits of batches that failed: somebody says that the cause is mended."""
        self._not_before = 0.0
        self.pace.retry_now(time.monotonic())
        self._tell_recovery()

    def share(self, share: float, got: float | None) -> bool:
        """Take this part of the quotas, from 0 to 1: others use the same key.

        *got* is the part that we have had; says whether that is to be counted anew.
        """
        for bucket in (self._requests, self._tokens):
            if bucket is not None:
                bucket.share = share
        self._changed.set()
        return self.pace.share(share, got)

    async def turn(self, tokens: int) -> None:
        """Return when a call of so many tokens may be sent; its place is taken."""
        while True:
            now = time.monotonic()
            wait = self._until(tokens, now)
            if wait == 0.0:
                break
            self._changed.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue
        self.calls += 1
        self._spending.begin(tokens)
        self.pace.take(now)
        for bucket, amount in ((self._requests, 1), (self._tokens, tokens)):
            if bucket is not None:
                bucket.take(amount, now)

    def give_back(self, tokens: int) -> None:
        """Give up a place that was taken by ``turn`` for so many tokens."""
        self.calls -= 1
        self._spending.end(tokens)
        self._changed.set()

    async def send(self, texts: Sequence[str], tokens: int) -> Reply:
        """Call the provider in the place that ``turn`` took; raise what it raises."""
        self._under_way += 1
        sent_at, at_once = time.monotonic(), self._under_way
        try:
            reply = await self._provider.embed(texts)
        except RateLimited as error:
            self._limited(error, sent_at, at_once)
            raise
        except (ProviderError, ConfigurationError) as error:
            self._failed(error)
            raise
        else:
            self._succeeded(reply, sent_at, at_once)
            return reply
        finally:
            self._under_way -= 1
            self.give_back(tokens)

    async def ask(self, times: int = 1) -> bool:
        """Say whether the provider embeds a known-good text, so often in a row.

        One caller asks for all that want to know it once, twice a second at most.
        """
        wanted = time.monotonic()
        async with self._asking:
            if times == 1 and self.history.well_since(wanted):
                return True
            await asyncio.sleep(max(0.0, self._asked_at + ASK_EVERY_S - time.monotonic()))
            self._asked_at = time.monotonic()
            for _ in range(times):
                if not await self._embeds_a_known_good_text():
                    return False
            self.breaker.answered()
            self._changed.set()
            return True

    async def watch(self) -> None:
        """Probe while the breaker is open, until cancelled."""
        while True:
            await self._opened.wait()
            while self.breaker.state is BreakerState.OPEN:
                await asyncio.sleep(self.breaker.until_probe(random.random()))  # noqa: S311 - jitter, no secret
                self.breaker.probed(well=await self._embeds_a_known_good_text())
            self._opened.clear()
            self.concurrency.least()
            self._tell_recovery()

    async def _embeds_a_known_good_text(self) -> bool:
        try:
            reply = await self._provider.embed([WITNESS])
        except (ProviderError, ConfigurationError):
            return False
        well = reply.vectors[0] is not None
        self.history.probed(time.monotonic(), well=well)
        return well

    def _until(self, tokens: int, now: float) -> float | None:
        """Return the seconds until such a call may be sent, 0 if it may, None while something has to change first."""
        if self._held or self.breaker.state is BreakerState.OPEN:
            return None
        one_by_one = self.breaker.state is BreakerState.HALF_OPEN or self._limited_in_a_row >= CLOSED_AFTER
        if self.calls >= (1 if one_by_one else self.concurrency.limit):
            return None
        if not self._spending.admits(tokens):
            return None
        waits = [0.0, self._not_before - now, self.pace.until(now)]
        if self._remaining is not None:
            told_at, left = self._remaining
            waits.append(told_at + left.until(tokens) - now)
        for bucket, amount in ((self._requests, 1), (self._tokens, tokens)):
            if bucket is not None:
                waits.append(bucket.until(amount, now))
        return max(waits)

    def _succeeded(self, reply: Reply, sent_at: float, at_once: int) -> None:
        now = time.monotonic()
        self.history.called(now, well=True)
        self.breaker.answered()
        self.concurrency.succeeded(at_once)
        self.pace.accepted(now, sent_at)
        self._limited_in_a_row = 0
        self._remaining = None if reply.remaining is None else (now, reply.remaining)

    def _limited(self, error: RateLimited, sent_at: float, at_once: int) -> None:
        """Pause as told; untold, only where one refusal follows another, for the pace sees to the others."""
        now = time.monotonic()
        self.history.called(now, well=False)
        self.breaker.answered()
        self._limited_in_a_row += 1
        pause, again = error.retry_after, self._limited_in_a_row - 1
        if pause is None:
            jitter = random.random()  # noqa: S311 - jitter, no secret
            pause = backoff(again, jitter, first_s=LIMITED_FIRST_S, longest_s=LIMITED_LONGEST_S) if again else 0.0
        pause = min(pause, LONGEST_RETRY_AFTER_S)
        self._not_before = max(self._not_before, now + pause)
        if self.concurrency.limited(at_once):
            self.pace.excuse()
        else:
            self.pace.refused(now, sent_at, pause)

    def _failed(self, error: ProviderError | ConfigurationError) -> None:
        self.history.called(time.monotonic(), well=False)
        if isinstance(error, InputRejected | MalformedReply):
            self.breaker.answered()
        elif isinstance(error, ProviderError) and self.breaker.failed():
            self._opened.set()

    def _tell_recovery(self) -> None:
        self._changed.set()
        self.recovered.set()
        self.recovered.clear()


def _bucket(per_minute: int | None, fraction: float, now: float) -> TokenBucket | None:
    return None if per_minute is None else TokenBucket(per_minute * fraction, now)
