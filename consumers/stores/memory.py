"""The store without a database: the same promises, kept for as long as the process lives.

For trying the pipeline out and for tests of what stands before a store. It passes the same contract tests.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

import msgspec
import numpy as np

from consumers.core import fence
from consumers.stores.memory_write import Attempt, Row, Staged, known_vectors, now
from schemas.documents import MAX_ID_BYTES
from schemas.errors import RowRejected, StoreMisconfigured
from schemas.index import (
    Candidate,
    Change,
    Counts,
    DocumentKey,
    Fingerprint,
    Hit,
    Outcome,
    Standing,
)
from schemas.orders import Order
from schemas.spending import DaySpent, Spent

_STAGED_FOR = timedelta(days=7)


class MemoryStore:
    """An index in memory."""

    connections = 4

    def __init__(self, fingerprint: Fingerprint | None = None, *, force_before: datetime | None = None) -> None:
        """Begin empty; what was embedded before *force_before*, which may be set anew, counts as absent."""
        self.force_before = force_before
        self.run = "memory"
        """Set it anew where the database is put back, or its server is started again."""
        self._fingerprint = fingerprint
        self._rows: dict[DocumentKey, Row] = {}
        self._positions: dict[tuple[str, str], dict[int, int]] = {}
        self._orders: dict[str, Order] = {}
        self._staged: dict[bytes, Staged] = {}
        self._spent: dict[tuple[date, str], Spent] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self._rows)} documents>"

    async def create(self, fingerprint: Fingerprint) -> list[str]:
        """Become an index of this fingerprint, unless it is one already."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint
            return ["created the index"]
        if self._fingerprint != fingerprint:
            raise StoreMisconfigured("The index holds vectors of another fingerprint: name another index.")
        return []

    async def look_up(self, candidates: Sequence[Candidate], content_hash: Callable[[int], bytes]) -> list[Standing]:
        """Say how each document stands to what is stored."""
        return [self._standing(candidate, partial(content_hash, n)) for n, candidate in enumerate(candidates)]

    async def stored_hashes(self, keys: Sequence[DocumentKey]) -> Mapping[DocumentKey, frozenset[bytes]]:
        """Return the hashes of the chunks that are stored for these documents; one without chunks is left out."""
        found = {key: frozenset(known_vectors(self._rows[key], self.force_before)) for key in keys if key in self._rows}
        return {key: hashes for key, hashes in found.items() if hashes}

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Apply a group, all of it or nothing; entry i is what became of change i."""
        for change in changes:
            self._check(change)
        left: frozenset[int] = frozenset()
        while True:
            attempt = Attempt(self._rows, self._staged, changes, self.force_before)
            leaving = attempt.run(left)
            if not leaving:
                self._rows, self._staged = attempt.rows, attempt.staged
                return [attempt.outcomes[index] for index in range(len(changes))]
            left |= leaving

    async def stage(self, vectors: Mapping[bytes, bytes]) -> None:
        """Keep vectors by the hashes of their texts until documents are written that take them."""
        if not all(self._fits(vector) for vector in vectors.values()):
            raise RowRejected("A vector is of another length or not finite.", sqlstate="22000")
        at = now(self.force_before)
        self._staged = {digest: kept for digest, kept in self._staged.items() if kept.at > at - _STAGED_FOR}
        for digest, vector in vectors.items():
            if digest not in self._staged or fence.is_older(self._staged[digest].at, self.force_before):
                self._staged[digest] = Staged(vector, at)

    async def staged(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        """Return of which of these texts the vectors are kept."""
        kept = self._staged
        return frozenset(
            digest for digest in hashes if digest in kept and not fence.is_older(kept[digest].at, self.force_before)
        )

    async def save_positions(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Remember the next offset of each partition."""
        self._positions.setdefault((group, topic), {}).update(positions)

    async def advance_positions(
        self, group: str, topic: str, positions: Mapping[int, int], known: Mapping[int, int], server: str
    ) -> bool:
        """Remember the next offset of each partition if the index holds what is *known* and runs on *server*."""
        stored = self._positions.setdefault((group, topic), {})
        if server != self.run or any(stored.get(p) != known.get(p) for p in positions):
            return False
        stored.update(positions)
        return True

    async def server(self) -> str:
        """Name the run that ``run`` tells."""
        return self.run

    async def load_positions(self, group: str, topic: str) -> dict[int, int]:
        """Return what save_positions remembered."""
        return dict(self._positions.get((group, topic), {}))

    async def forget_positions(self, group: str, topic: str, partitions: Collection[int]) -> None:
        """Know nothing of these partitions."""
        for partition in partitions:
            self._positions.get((group, topic), {}).pop(partition, None)

    async def has_documents(self) -> bool:
        """Say whether the index holds anything, tombstones included."""
        return bool(self._rows)

    async def give_orders(self, orders: Mapping[str, str], by: str) -> None:
        """Write what an operator wants, by name."""
        now = datetime.now(UTC)
        self._orders.update({name: Order(name, value, now, by) for name, value in orders.items()})

    async def orders(self, names: Sequence[str]) -> list[Order]:
        """Return the orders of these names that were ever given."""
        return [self._orders[name] for name in names if name in self._orders]

    async def spend(self, amounts: Mapping[str, Spent]) -> Spent:
        """Add to what tenants have spent today; return what all of them have."""
        today = datetime.now(UTC).date()
        for tenant, amount in amounts.items():
            self._spent[today, tenant] = self._spent.get((today, tenant), Spent()) + amount
        return sum((spent for (day, _), spent in self._spent.items() if day == today), Spent())

    async def spent(self, days: int) -> list[DaySpent]:
        """Return what was spent in the last *days* days, of which today is one, the newest first."""
        first = datetime.now(UTC).date() - timedelta(days=days - 1)
        rows = [DaySpent(day, tenant, spent) for (day, tenant), spent in self._spent.items() if day >= first]
        return sorted(rows, key=lambda row: (-row.day.toordinal(), row.tenant))

    async def about(self) -> Fingerprint | None:
        """Return the fingerprint of the index, or None if there is no index."""
        return self._fingerprint

    async def search(
        self, vector: bytes, *, limit: int, tenant: str | None = None, where: Sequence[str] = ()
    ) -> list[Hit]:
        """Return the nearest chunks by cosine distance, nearest first."""
        if not self._fits(vector):
            raise RowRejected("The vector is not of this index.", sqlstate="22000")
        query = _numbers(vector)
        hits = [
            Hit(key[0], key[1], ordinal, _cosine(query, _numbers(chunk.vector)), row.title, chunk.text, row.metadata)
            for key, row in self._rows.items()
            if tenant in (None, key[0]) and _matches(row.metadata, where)
            for ordinal, chunk in enumerate(row.chunks)
            if chunk.vector is not None
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.tenant, hit.id, hit.ordinal))[:limit]

    async def counts(self) -> Counts:
        """Count what is stored."""
        live = [row for row in self._rows.values() if row.content_hash is not None]
        return Counts(len(live), sum(len(row.chunks) for row in live), len(self._rows) - len(live))

    async def aclose(self) -> None:
        """Close nothing: what is stored stays readable."""

    def _standing(self, candidate: Candidate, content_hash: Callable[[], bytes]) -> Standing:
        row = self._rows.get((candidate.tenant, candidate.id))
        if row is None:
            return Standing.ABSENT
        verdict = fence.judge(candidate, row.mark)
        if verdict is fence.Verdict.STALE:
            return Standing.SUPERSEDED
        if fence.is_older(row.embedded_at, self.force_before):
            return Standing.ABSENT
        if verdict is fence.Verdict.REDELIVERED:
            return Standing.REDELIVERED
        if row.content_hash is None:
            return Standing.ABSENT
        return Standing.UNCHANGED if row.content_hash == content_hash() else Standing.CHANGED

    def _check(self, change: Change) -> None:
        """Refuse what PostgreSQL refuses."""
        texts = [change.tenant, change.id, change.title or "", change.metadata or ""]
        texts += [chunk.text for chunk in change.chunks]
        if any("\0" in text for text in texts):
            raise RowRejected("A text holds NUL.", sqlstate="22021")
        if len(change.id.encode()) > 2 * MAX_ID_BYTES:
            raise RowRejected("The id is too long for an index.", sqlstate="54000")
        if not all(chunk.vector is None or self._fits(chunk.vector) for chunk in change.chunks):
            raise RowRejected("A vector is of another length or not finite.", sqlstate="22000")

    def _fits(self, vector: bytes) -> bool:
        known = self._fingerprint
        return (known is None or len(vector) == 4 * known.dimensions) and bool(np.isfinite(_numbers(vector)).all())


def _numbers(vector: bytes | None) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.frombuffer(vector or b"", ">f4").astype(np.float64)


def _cosine(
    one: "np.ndarray[tuple[int], np.dtype[np.float64]]", other: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _matches(metadata: str | None, where: Sequence[str]) -> bool:
    if not where:
        return True
    said = msgspec.json.decode(metadata or "null")
    return any(_contains(said, msgspec.json.decode(one)) for one in where)


def _contains(whole: object, part: object) -> bool:
    """Say what ``@>`` says of two values of jsonb."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(name in whole and _contains(whole[name], value) for name, value in part.items())
    if isinstance(whole, list) and isinstance(part, list):
        return all(any(_contains(own, one) for own in whole) for one in part)
    return isinstance(whole, bool) is isinstance(part, bool) and whole == part
