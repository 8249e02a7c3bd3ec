"""How many calls a second does a provider take that does not say so? Learnt from what it accepts and refuses.

Nothing is known, and nothing slowed, until a call is refused for being too many. Then there is a ceiling. Each refusal
takes a little off it and each accepted call adds less, so that the refused share settles at the ratio of the two,
whatever the limit is: a bucket, a second, a minute, and however many workers use it.
"""

from collections import deque
from math import inf, sqrt

CUT = 0.02
"""What a refusal takes off the ceiling."""
HASTE, SELDOM_CALLS = 4.0, 50
"""A refusal soon after another takes up to so many times more: fewer calls than these between them are too few."""
CALLS_A_CUT, SECONDS_A_CUT, PAUSES_A_CUT = 125, 15.0, 40.0
"""It is won back by no fewer accepted calls, so that under 1 % are refused; in no less time, since a quota may be one
of a minute; and in so many times the pause that the refusal cost."""
FIRST_PATIENCE_S, LONGER, PATIENCE_S, PATIENCE_CUTS = 5.0, 7.0, 240.0, 3.0
"""After so long without a refusal, and up to so many cuts' worth of calls, the limit may be elsewhere: it is probed. A
probe that is refused makes the next one wait so many times longer."""
DOUBLES_IN_S, PATIENCE_A_DOUBLING = 10.0, 3.0
"""How fast a ceiling grows in a probe; a late one is slower, since a quota of a minute is found out late."""
RECENT_CALLS, RECENT_S, FEWEST_CALLS = 50, 20.0, 3
"""Lately is so many calls ago, and so long."""
BELOW_RECENT, ABOVE_RECENT = 0.97, 1.1
"""A refusal takes a ceiling no further below what was accepted lately, and leaves it no further above."""
CLOSED_S, LONGEST_SPAN_S = 3.0, 120.0
"""A provider that accepts nothing for so long is closed: a storm, or a quota that is used up until its minute ends. One
that is closed for much longer than a minute is out, or has a quota that is best used up at once and waited for."""
LONGEST_GAP_S, FEWEST_OF_A_QUOTA = 2.0, 10
"""What a quota is, is told by so many accepted calls, over the time in which there were answers or pauses: who has
nothing to send, or whose provider fails in another way, has no smaller quota for it."""
DOUBT_AGAIN_S = 120.0
"""What was learnt all at once is probed soon, but no more often."""
CHANGED = 0.1
"""A share that changes by more is that of another fleet, whose members have yet to find what there is for all."""
FAIR, FAIR_CALLS, MOST_RAISED = 0.5, 50.0, 1.5
"""A worker has too little below this part of its share, as seen by so many calls of a full share."""
CREDIT_S = 0.1
"""Calls that are late by less are made up for; a longer rest is not followed by a burst."""


class Pace:
    """Space calls out below a ceiling that is learnt.

    A ceiling only grows while it is what calls wait for. What a storm took off is given back at its end; a provider
    that closes again and again has a quota for a longer time, and gets what it accepted over that time.
    """

    __slots__ = (
        "_accepted",
        "_before",
        "_calls_a_cut",
        "_calm",
        "_closed_at",
        "_closed_s",
        "_cut_at",
        "_doubted_at",
        "_grown_at",
        "_is_pressed",
        "_judged_by",
        "_next_at",
        "_noted_at",
        "_patience_s",
        "_probes",
        "_recent",
        "_reopened_at",
        "_share",
        "_span_s",
        "rate",
    )

    def __init__(self, now: float) -> None:
        self.rate = inf
        self._share: float | None = None
        self._judged_by = 0
        self._next_at = -inf
        self._is_pressed = False
        self._recent: deque[float] = deque()
        self._probes, self._patience_s = False, FIRST_PATIENCE_S
        self._calm, self._calls_a_cut = 0, float(CALLS_A_CUT)
        self._cut_at = self._grown_at = self._doubted_at = -inf
        self._noted_at, self._span_s, self._accepted = now, 0.0, 0
        self._closed_at: float | None = None
        self._closed_s = 0.0
        self._before = inf
        self._reopened_at = -inf

    def __repr__(self) -> str:
        return f"<Pace {self.rate:.2f}/s>"

    @property
    def is_learnt(self) -> bool:
        """Whether there is a ceiling."""
        return self.rate < inf

    def until(self, now: float) -> float:
        """Return the seconds until the next call may be sent; 0 if it may be now."""
        return max(0.0, self._next_at - now)

    def take(self, now: float) -> None:
        """Send a call."""
        if self.is_learnt:
            self._is_pressed = now - self._next_at < CREDIT_S
            self._next_at = max(self._next_at, now - CREDIT_S) + 1.0 / self.rate

    def share(self, share: float, got: float | None) -> bool:
        """Take this part of a limit that others use as well; *got* is the part that we have had of it, if known.

        What was learnt with another share changes with it. Who gets much less than its share while it waits for the
        ceiling raises it: the others are refused the more the more they have. Says whether *got* was enough to judge
        by, and is to be counted anew.
        """
        before, self._share = self._share, share
        if before is None or not self.is_learnt:
            return False
        if share != before:
            self._scale(share / before)
        if abs(share - before) > before * CHANGED:
            self.excuse()
        if not got or self._judged_by * share / got < FAIR_CALLS:
            return False
        self._judged_by = 0
        if self._is_pressed and got < FAIR * share:
            self._scale(min(MOST_RAISED, sqrt(share / got)))
        return True

    def _scale(self, times: float) -> None:
        self.rate *= times
        self._recent.clear()

    def accepted(self, now: float, sent_at: float) -> None:
        """Note a call that the provider took."""
        recent = self._recent
        recent.append(now)
        while len(recent) > RECENT_CALLS and recent[0] < now - RECENT_S:
            recent.popleft()
        self._count(now)
        self._accepted += 1
        self._judged_by += 1
        if self._closed_at is not None and sent_at >= self._closed_at:
            self._reopen(now)
        if self.is_learnt:
            self._grow(now)

    def refused(self, now: float, sent_at: float, pause: float) -> None:
        """Note a call that was too much, after which nothing is sent for *pause* seconds.

        Calls that were under way at a cut say nothing that is not known.
        """
        self._count(now)
        if self._closed_at is None:
            self._closed_at, self._closed_s, self._before = now, 0.0, self.rate
        self._next_at = max(self._next_at, now + pause)
        if sent_at < self._cut_at:
            return
        lately, before = self._lately(now), self.rate
        if self._probes:
            self._probes, self._patience_s = False, min(self._patience_s * LONGER, PATIENCE_S)
            self.rate /= 2.0 ** (1.0 / DOUBLES_IN_S)
        elif self.rate > lately * ABOVE_RECENT:
            self.rate = lately
            self._doubt(now)
        cut = CUT * (1.0 + HASTE * max(0.0, 1.0 - self._calm / SELDOM_CALLS))
        self.rate = max(self.rate * (1.0 - cut), min(before, lately) * BELOW_RECENT)
        self._calls_a_cut = max(CALLS_A_CUT, max(SECONDS_A_CUT, PAUSES_A_CUT * pause) * self.rate)
        self._calm, self._cut_at = 0, now

    def retry_now(self, now: float) -> None:
        """End a pause."""
        self._next_at = min(self._next_at, now)

    def excuse(self) -> None:
        """Doubt what was learnt: it was for another fleet, or a call was refused for another reason."""
        self._probes, self._patience_s = self.is_learnt, FIRST_PATIENCE_S

    def _doubt(self, now: float) -> None:
        """Try soon whether more is possible, but not again and again."""
        if now - self._doubted_at > DOUBT_AGAIN_S:
            self._patience_s, self._doubted_at = FIRST_PATIENCE_S, now

    def _lately(self, now: float) -> float:
        """Return the calls a second that were accepted lately; without end where too few were to tell."""
        recent = self._recent
        return len(recent) / (now - recent[0]) if len(recent) >= FEWEST_CALLS and now > recent[0] else inf

    def _grow(self, now: float) -> None:
        since, self._grown_at = min(now - self._grown_at, 1.0), now
        if not self._is_pressed:
            return
        self._calm += 1
        cuts = PATIENCE_CUTS * self._patience_s / PATIENCE_S
        if now - self._cut_at > self._patience_s and self._calm > cuts * self._calls_a_cut:
            self._probes = True
        if self._probes:
            self.rate *= 2.0 ** (since / max(DOUBLES_IN_S, self._patience_s / PATIENCE_A_DOUBLING))
        else:
            self.rate *= 1.0 + CUT / self._calls_a_cut

    def _count(self, now: float) -> None:
        """Count the time since the last answer, as far as it was not spent on other things."""
        waited = max(0.0, self._next_at - self._noted_at)
        passed = min(now - self._noted_at, waited + LONGEST_GAP_S)
        self._noted_at = now
        self._span_s += passed
        self._closed_s += passed

    def _reopen(self, now: float) -> None:
        """Judge a span of refusals that is over."""
        self._closed_at = None
        if self._closed_s < CLOSED_S:
            return
        self._recent.clear()
        is_storm = now - self._reopened_at > DOUBT_AGAIN_S and self._closed_s <= self._span_s / 2.0
        if is_storm or self._closed_s > LONGEST_SPAN_S:
            self.rate = self._before
        elif self._accepted >= FEWEST_OF_A_QUOTA:
            self.rate = min(self._before, self._accepted / self._span_s)
            self._probes, self._patience_s = False, PATIENCE_S
        else:
            self.rate = self._before
            return
        self._span_s, self._accepted, self._reopened_at = 0.0, 0, now
