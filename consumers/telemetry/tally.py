"""How much has this worker done, and how fast is it now? Counted in plain Python for ``/status``."""

import time
from collections import deque
from collections.abc import Callable

from schemas.events import CallFailed, CallFinished, Event, Polled, Resolved, TextsReused, WriteFailed, Written
from schemas.index import Outcome
from schemas.status import Rate, Rates, Totals

SPANS = (10, 60)


class Tally:
    """An observer that counts totals, and rates over the last ten and sixty seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._counts = dict.fromkeys(Totals.__struct_fields__, 0)
        # [second, documents, texts], the newest last; nothing older than the longest span.
        self._seconds: deque[list[int]] = deque()

    def __call__(self, event: Event) -> None:
        """Count an event."""
        counts = self._counts
        match event:
            case Resolved(outcome=outcome, count=count):
                if outcome is not Outcome.AGAIN:
                    counts[outcome.value] += count
                    self._now()[1] += count
            case CallFinished(texts=texts, tokens=tokens):
                counts["calls"] += 1
                counts["texts_embedded"] += texts
                counts["tokens"] += tokens
                self._now()[2] += texts
            case Polled(messages=messages):
                counts["polled"] += messages
            case Written(chunks=chunks):
                counts["writes"] += 1
                counts["chunks_written"] += chunks
            case TextsReused(count=count):
                counts["texts_reused"] += count
            case CallFailed():
                counts["calls_failed"] += 1
            case WriteFailed():
                counts["writes_failed"] += 1
            case _:
                pass

    def totals(self) -> Totals:
        """Return what was done since the start."""
        return Totals(**self._counts)

    def rates(self) -> Rates:
        """Return the recent rates; a span that is longer than the worker's life is cut to that."""
        now = self._clock()
        short, long = (self._rate(now, span) for span in SPANS)
        return Rates(last_10_s=short, last_60_s=long)

    def _rate(self, now: float, span: int) -> Rate:
        recent = [(documents, texts) for second, documents, texts in self._seconds if second > now - span]
        lasted = max(min(span, now - self._began), 1.0)
        return Rate(
            documents_per_s=round(sum(documents for documents, _ in recent) / lasted, 1),
            texts_per_s=round(sum(texts for _, texts in recent) / lasted, 1),
        )

    def _now(self) -> list[int]:
        """Return the counters of this second."""
        second = int(self._clock())
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
            while self._seconds[0][0] <= second - SPANS[-1]:
                self._seconds.popleft()
        return self._seconds[-1]
