"""What did the fake provider see, and what would it have billed?"""

from collections import Counter
from collections.abc import Iterable

import msgspec


class Stats(msgspec.Struct, frozen=True):
    """Counts since the start or the last reset.

    ``texts`` were asked for, ``paid`` of them embedded, ``repeated`` of those embedded before. ``faults`` counts the
    calls that each kind struck, ``statuses`` the answers by status; a call without an answer has none.
    """

    calls: int
    texts: int
    paid: int
    repeated: int
    tokens: int
    in_flight: int
    most_in_flight: int
    statuses: dict[str, int]
    faults: dict[str, int]


class Tally:
    """The books."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Start again; calls in flight stay in flight."""
        self.calls = self.texts = self.tokens = 0
        self.most_in_flight = self.in_flight
        self.paid: Counter[bytes] = Counter()
        self.statuses: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()

    def begin(self, texts: int) -> None:
        """Note a call that came in."""
        self.calls += 1
        self.texts += texts
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def end(self) -> None:
        """Note that a call is over, whatever came of it."""
        self.in_flight -= 1

    def bill(self, digests: Iterable[bytes], tokens: int) -> None:
        """Note texts that were embedded; who asked pays, even if no answer arrives."""
        self.paid.update(digests)
        self.tokens += tokens

    def stats(self) -> Stats:
        """Sum up."""
        paid = self.paid.total()
        return Stats(
            calls=self.calls,
            texts=self.texts,
            paid=paid,
            repeated=paid - len(self.paid),
            tokens=self.tokens,
            in_flight=self.in_flight,
            most_in_flight=self.most_in_flight,
            statuses={str(status): count for status, count in sorted(self.statuses.items())},
            faults=dict(self.faults),
        )
