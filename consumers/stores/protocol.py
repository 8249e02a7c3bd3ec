"""What is a vector store to us?"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from schemas.index import Candidate, Change, Counts, DocumentKey, Fingerprint, Hit, Outcome, Standing
from schemas.orders import Order
from schemas.spending import DaySpent, Spent


class Store(Protocol):
    """An index of documents and their vectors.

    A store may be told at its construction that what was embedded before a moment counts as absent, in look-up, reuse
    and write alike, be it of the same origin or not. Only what is stale stays so.

    Every method raises StoreUnavailable (try again), RowRejected (a value of this group) or StoreMisconfigured
    (an operator has to act); no other exception leaves but CancelledError.
    """

    @property
    def connections(self) -> int:
        """How many requests may be answered at once; at least 1."""

    async def look_up(self, candidates: Sequence[Candidate], content_hash: Callable[[int], bytes]) -> list[Standing]:
        """Say how each document stands to what is stored; entry i is candidate i's. Advice: the write decides.

        *content_hash* is asked for that of candidate i only where an older version of it is stored.
        """

    async def stored_hashes(self, keys: Sequence[DocumentKey]) -> Mapping[DocumentKey, frozenset[bytes]]:
        """Return the hashes of the chunks that are stored for these documents."""

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Apply a group in one transaction; entry i is what became of change i.

        A key may occur several times: the newest by the fence is written, the others are SUPERSEDED with it. A chunk
        without a vector keeps that of the same text in its document, else takes the staged one. AGAIN is answered for
        a change of which such a vector is gone, or a touch whose content is no longer the stored one; the others of
        the group are applied.
        """

    async def stage(self, vectors: Mapping[bytes, bytes]) -> None:
        """Keep vectors, packed, by the hashes of their texts until documents are written that take them.

        The first document that takes one has it; what nobody takes is forgotten after a week.
        """

    async def staged(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        """Return of which of these texts the vectors are kept."""

    async def save_positions(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Remember the next offset of each partition, whatever was remembered before."""

    async def advance_positions(
        self, group: str, topic: str, positions: Mapping[int, int], known: Mapping[int, int], server: str
    ) -> bool:
        """Remember the next offset of each partition; called before each commit to Kafka.

        False, and nothing is remembered, where the index does not hold what is *known* of these partitions, or where
        its ``server`` is another: somebody else owns them, or it was put back to an earlier time.
        """

    async def server(self) -> str:
        """Name the run of the database's server: what was acknowledged may be lost where another one answers."""

    async def load_positions(self, group: str, topic: str) -> dict[int, int]:
        """Return what save_positions remembered."""

    async def forget_positions(self, group: str, topic: str, partitions: Collection[int]) -> None:
        """Know nothing of these partitions, as before their first save_positions."""

    async def has_documents(self) -> bool:
        """Say whether the index holds anything, be it the tombstone of what was deleted."""

    async def give_orders(self, orders: Mapping[str, str], by: str) -> None:
        """Write what an operator wants, by name; all of it at once."""

    async def orders(self, names: Sequence[str]) -> list[Order]:
        """Return the orders of these names that were ever given."""

    async def spend(self, amounts: Mapping[str, Spent]) -> Spent:
        """Add to what tenants have spent today; return what all of them have. With nothing to add this only asks.

        The day is that of UTC by the store's clock. Done again after StoreUnavailable it may count twice, never less.
        """

    async def spent(self, days: int) -> list[DaySpent]:
        """Return what was spent in the last *days* days, of which today is one, the newest first."""

    async def about(self) -> Fingerprint | None:
        """Return the fingerprint of the index, or None if there is no index."""

    async def search(
        self, vector: bytes, *, limit: int, tenant: str | None = None, where: Sequence[str] = ()
    ) -> list[Hit]:
        """Return the nearest chunks by cosine distance, nearest first. *vector* is packed big-endian float32.

        Only chunks of *tenant*, and of documents whose metadata contains one of *where*: JSON objects, of which every
        part has to be there, in whatever else there is.
        """

    async def counts(self) -> Counts:
        """Say how much is stored, cheaply."""

    async def aclose(self) -> None:
        """Close the connections."""
