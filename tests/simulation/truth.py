"""What must be true? The log, the fence and what is stored, beside a program that knows none of this.

The checks are made at the moment when they can first fail: rows at each transaction, positions at each commit, dead
letters at each append. The fence is the one of ``consumers/core/fence.py``, as it was when this module was imported.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

import msgspec

from consumers.core.chunking import Chunker
from consumers.core.decoding import decode
from consumers.core.fence import Mark, Verdict, judge, moved
from consumers.providers.deterministic import vector_of
from consumers.stores.memory_write import Row
from schemas.dead_letters import DeadLetter, original, to_record
from schemas.documents import Document
from schemas.errors import InvalidDocument
from schemas.index import Candidate, Change, ChangeKind, DocumentKey, Outcome, Standing
from schemas.messages import Message, Origin
from schemas.settings import ChunkingSettings
from tests.simulation.plan import CHUNK_TOKENS, DIMENSIONS, HARMFUL_WORDS, MAX_DOCUMENT_BYTES

_chunker = Chunker(ChunkingSettings(max_tokens=CHUNK_TOKENS))


@lru_cache(maxsize=10_000)
def pieces_of(text: str) -> tuple[str, ...]:
    """Return the chunks of a text."""
    return tuple(_chunker.split(text, None))


@lru_cache(maxsize=10_000)
def vector(text: str) -> bytes:
    """Return the vector of a text."""
    return vector_of(text, DIMENSIONS)


@dataclass(eq=False)
class Known:
    """A record of the log. ``settled`` says that what is stored has, at some time, made it superfluous."""

    message: Message
    key: DocumentKey | None
    document: Document | None
    mark: Mark | None
    harmful: bool
    settled: bool = False
    dead: bool = False
    late: bool = False
    """Dead-lettered at its deadline: where it was delivered twice, the other may have been stored."""
    since: float = 0.0
    raised: Mark | None = None
    """The mark with the greatest timestamp of its partition so far, which the fence sees if one reader saw both."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks that the fence may see, by what was read before in the same assignment."""
        return tuple(mark for mark in (self.mark, self.raised) if mark is not None)

    def is_surpassed(self, by: Mark) -> bool:
        """Whether a row makes this record superfluous."""
        return any(judge(mark, by) is not Verdict.NEWER for mark in self.marks)

    @property
    def is_plain(self) -> bool:
        """Whether the broker gave its timestamp."""
        return self.message.timestamp_type.value == "LogAppendTime"


@dataclass
class Truth:
    """Every record by its place and by its key; ``wrong`` is told of what must not be.

    A document may be given up once it has waited for ``patience_s``; None is never.
    """

    wrong: Callable[[str], None]
    now: Callable[[], float]
    patience_s: float | None = None
    records: dict[int, dict[int, Known]] = field(default_factory=dict)
    by_key: dict[DocumentKey, list[Known]] = field(default_factory=dict)
    verified: dict[int, int] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)

    def appended(self, message: Message) -> None:
        """Learn of a record."""
        known = _known(message)
        known.since = self.now()
        if known.mark is not None and known.mark.origin == message.place:
            newest = max(self.newest.get(message.partition, 0), known.mark.fence_ts)
            self.newest[message.partition] = newest
            known.raised = Mark(known.mark.version, known.mark.origin, newest)
        self.records.setdefault(message.partition, {})[message.offset] = known
        if known.key is not None:
            self.by_key.setdefault(known.key, []).append(known)

    def superseded(self, asked: Iterable[tuple[Candidate | Change, Standing | Outcome]]) -> None:
        """Believe the store that something newer was there, where it may be replaced by something older still."""
        for one, answer in asked:
            if answer in {Standing.SUPERSEDED, Outcome.SUPERSEDED} and not self._is_ordered((one.tenant, one.id)):
                self.records[one.origin.partition][one.origin.offset].settled = True

    def rows_changed(self, before: Mapping[DocumentKey, Row], after: Mapping[DocumentKey, Row]) -> None:
        """Look at each row that a transaction has changed: I2, I3, I5."""
        for key in after:
            row, previous = after[key], before.get(key)
            if row is previous:
                continue
            self._check_row(key, row)
            if previous is not None and row.mark.origin != previous.mark.origin and self._is_ordered(key):
                verdict = judge(row.mark, previous.mark)
                if verdict is not Verdict.NEWER:
                    self.wrong(f"I3: {key} was {previous.mark}, became {row.mark}, which is {verdict.value}")
            self._settle(key, row)

    def _settle(self, key: DocumentKey, row: Row) -> None:
        for known in self.by_key[key]:
            if not known.settled and known.is_surpassed(row.mark):
                known.settled = True

    def _check_row(self, key: DocumentKey, row: Row) -> None:
        origin = row.mark.origin
        known = self.records.get(origin.partition, {}).get(origin.offset)
        if known is None or known.key != key:
            self.wrong(f"I2: the row of {key} says that it comes from {origin}")
            return
        document = known.document
        if document is None:
            if row.content_hash is not None or row.chunks:
                self.wrong(f"I2: {key} is deleted by {origin} and has chunks")
            return
        if (row.title, row.metadata) != (document.title, document.metadata):
            self.wrong(f"I2: title or metadata of {key} are not those of {origin}")
        if tuple(chunk.text for chunk in row.chunks) != pieces_of(document.text):
            self.wrong(f"I2: the chunks of {key} are not those of {origin}")
        for chunk in row.chunks:
            if chunk.vector != vector(chunk.text):
                self.wrong(f"I5: the vector of {chunk.text!r} in {key} is not its own")

    def committed(self, partition: int, position: int, rows: Mapping[DocumentKey, Row]) -> None:
        """Look at each record below a position that was committed: I1."""
        for offset in range(self.verified.get(partition, 0), position):
            known = self.records.get(partition, {}).get(offset)
            if known is not None and not self.is_resolved(known, rows):
                self.wrong(f"I1: partition {partition} committed at {position}, {offset} is not resolved: {known}")
                return
        self.verified[partition] = max(position, self.verified.get(partition, 0))

    def is_resolved(self, known: Known, rows: Mapping[DocumentKey, Row]) -> bool:
        """Say whether nothing is left to be done for a record."""
        if known.dead or known.settled:
            return True
        if known.key is None or known.mark is None or known.key not in rows:
            return False
        known.settled = known.is_surpassed(rows[known.key].mark)
        return known.settled

    def dead_lettered(self, letter: DeadLetter) -> None:
        """Look at a dead letter: I6, I7."""
        place = letter.message.place
        known = self.records[place.partition][place.offset]
        if letter.failure.code == "deadline":
            known.late = self.patience_s is not None and self.now() - known.since >= self.patience_s
        if not known.harmful and not known.late:
            self.wrong(f"I6: {known.message} was dead-lettered: {letter.failure}")
        record, first = to_record(letter), known.message
        null_key = first.key is None and first.value is None
        kept = original(msgspec.structs.replace(first, key=record.key, value=record.value, headers=record.headers))
        if (kept.key, kept.value, kept.headers) != (first.key, first.value, first.headers):
            self.wrong(f"I7: {first} became {record}")
        if not null_key and record.key != first.key:
            self.wrong(f"I7: the key of {first} became {record.key!r}")
        if letter.origin != first.place:
            self.wrong(f"I7: the origin of {first} became {letter.origin}")
        known.dead = True

    def settled_down(self, rows: Mapping[DocumentKey, Row]) -> None:
        """Compare what is stored in the end with what the log and the fence make of it."""
        for known in self._all():
            if not self.is_resolved(known, rows):
                self.wrong(f"lost: {known}")
        for key in rows:
            if key not in self.by_key:
                self.wrong(f"a row of nobody: {key}")
        for key, records in self.by_key.items():
            late = any(one.late for one in records)
            alive = [one for one in records if not one.dead or one.late]
            expected = final_marks(alive, ordered=self._is_ordered(key) and not late)
            if all(one.dead for one in records):
                expected.append(None)
            mark = rows[key].mark if key in rows else None
            if not any(_same_winner(mark, one) for one in expected):
                self.wrong(f"I3: {key} ends as {mark}, expected {expected}")
            if key in rows:
                self._check_row(key, rows[key])

    def _all(self) -> Iterable[Known]:
        return (known for partition in self.records.values() for known in partition.values())

    def _is_ordered(self, key: DocumentKey) -> bool:
        """Say whether the records of a key have one order, whatever is applied first."""
        records = self.by_key[key]
        versions = {known.mark.version is None for known in records if known.mark is not None}
        partitions = {known.message.partition for known in records}
        return len(versions) == len(partitions) == 1 and all(known.is_plain for known in records)

    @property
    def all_ordered(self) -> bool:
        """Whether the outcome is the same in whatever order records are applied."""
        return all(self._is_ordered(key) for key in self.by_key)

    def older(self, rows: Mapping[DocumentKey, Row], moment: datetime | None) -> list[DocumentKey]:
        """Return the documents that were embedded before *moment*, though their record came by since."""
        return [
            key
            for key, row in rows.items()
            if row.embedded_at is not None and moment is not None and min(row.embedded_at, *row.times) < moment
            if not self._at(row.mark.origin).dead
        ]

    def _at(self, origin: Origin) -> Known:
        return self.records[origin.partition][origin.offset]

    def paid_again(self, embedded: Iterable[str]) -> set[str]:
        """Return which texts of documents were embedded though nothing of their documents was dead-lettered."""
        dead: set[str] = set()
        stored: set[str] = set()
        for known in self._all():
            if known.document is not None:
                (dead if known.dead else stored).update(pieces_of(known.document.text))
        return stored.intersection(embedded) - dead


def final_marks(records: list[Known], *, ordered: bool) -> list[Mark | None]:
    """Return how a row may end: in one way where the fence puts the records in one order, else in several."""
    final: Mark | None = None
    for known in records:
        final = _apply(final, known, known.mark)
    if ordered or final is None:
        return [final]
    reached: list[Mark | None] = []
    frontier: list[Mark | None] = [None]
    while frontier:
        before = frontier.pop()
        for known in records:
            for mark in known.marks:
                after = _apply(before, known, mark)
                if after is not None and after not in reached:
                    reached.append(after)
                    frontier.append(after)
    return reached


def _same_winner(one: Mark | None, other: Mark | None) -> bool:
    """Say whether one record won; the greatest timestamp that ever won depends on what was applied first."""
    if one is None or other is None:
        return one is other
    return (one.origin, one.version) == (other.origin, other.version) and one.fence_ts >= other.fence_ts


def _apply(mark: Mark | None, known: Known, ours: Mark | None) -> Mark | None:
    if ours is None or (mark is not None and judge(ours, mark) is not Verdict.NEWER):
        return mark
    kind = ChangeKind.DELETE if known.document is None else ChangeKind.PUT
    return moved(mark, Change(kind, "", "", ours.version, ours.origin, ours.fence_ts))


def _known(message: Message) -> Known:
    try:
        decoded = decode(message, message.timestamp, MAX_DOCUMENT_BYTES)
    except InvalidDocument:
        return Known(message, None, None, None, harmful=True)
    subject = decoded.subject
    document = subject if isinstance(subject, Document) else None
    mark = Mark(subject.version, decoded.origin, decoded.fence_ts)
    said = f"{document.title} {document.text}" if document is not None else ""
    harmful = any(word in said for word in HARMFUL_WORDS)
    return Known(message, (subject.tenant, subject.id), document, mark, harmful=harmful)
