"""What of an index is deleted, and what may be forgotten of it?"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import msgspec

from consumers.stores.connections import Connections
from consumers.stores.errors import translated
from schemas import sql
from schemas.settings import StoreSettings

PAGE = 1_000
BATCH = 1_000
LONG_S = 600.0


class Old(msgspec.Struct, frozen=True):
    """Tombstones from before a time, counted: what may go, and what stays because it guards against older records.

    ``versioned`` stay since a version outranks time.
    """

    going: int
    guarding: int
    versioned: int


class Guard(msgspec.Struct, frozen=True):
    """What tombstones are still needed for: records that are not older than ``before_ms``, and any with a version."""

    before_ms: int
    versions: bool


class Tombstones:
    """The deleted and the living documents of one index.

    Raises StoreUnavailable and StoreMisconfigured, as every adapter of the database.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self._index = settings.index
        self._connections = Connections(settings)
        self._queries = sql.queries({"index": sql.identifier(settings.index), "vector_schema": ""})

    def __repr__(self) -> str:
        return f"<Tombstones of {self._index} {self._connections!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with translated():
            await self._connections.aclose()

    async def count_live(self, tenant: str) -> int:
        """Count the documents of a tenant."""
        return int(await self._ask("count_live_of_tenant", tenant))

    async def live_among(self, tenant: str, ids: Sequence[str]) -> int:
        """Count which of these documents are there."""
        found = 0
        for start in range(0, len(ids), PAGE):
            with translated():
                async with self._connections.one() as connection:
                    page = list(ids[start : start + PAGE])
                    found += len(await connection.fetch(self._queries["live_among"], tenant, page))
        return found

    async def live_ids(
        self, tenant: str, before: tuple[str, Mapping[int, int]] | None = None
    ) -> AsyncGenerator[str, None]:
        """Yield the ids of a tenant's documents, a page at a time in no transaction; to be used within ``aclosing``.

        *before* is a topic and an offset of each partition: only documents whose record lies before it, or elsewhere.
        """
        name: str = "live_ids"
        told: tuple[object, ...] = ()
        if before is not None:
            topic, ends = before
            name, told = "live_ids_from_before", (topic, list(ends), list(ends.values()))
        last = ""  # no id is empty
        while True:
            with translated():
                async with self._connections.one() as connection:
                    rows = await connection.fetch(self._queries[name], tenant, last, PAGE, *told)
            for row in rows:
                yield row["id"]
            if len(rows) < PAGE:
                return
            last = rows[-1]["id"]

    async def time_ago(self, seconds: float) -> datetime:
        """Return a time in the past by the database's clock, which set the times of the tombstones."""
        found: datetime = await self._ask("time_ago", seconds)
        return found

    async def count_old(self, before: datetime, guard: Guard) -> Old:
        """Count the tombstones from before a time."""
        with translated():
            async with self._connections.one() as connection:
                rows = await connection.fetch(
                    self._queries["count_old_tombstones"], before, guard.before_ms, guard.versions, timeout=LONG_S
                )
        return Old(*rows[0])

    async def note_purge(self, before: datetime) -> None:
        """Let the index know that tombstones from before a time may be missing."""
        await self._ask("note_purge", before)

    async def purged_before(self) -> datetime | None:
        """Return the time from before which tombstones may be missing; None where none was ever purged."""
        found: datetime | None = await self._ask("purged_before")
        return found

    async def purge(self, before: datetime, guard: Guard) -> AsyncGenerator[int, None]:
        """Remove what may go, a batch at a time, each for good; yield how many. To be used within ``aclosing``."""
        since = datetime.fromtimestamp(0, before.tzinfo)
        while True:
            with translated():
                async with self._connections.one() as connection:
                    asked = (before, guard.before_ms, guard.versions, since, BATCH)
                    [row] = await connection.fetch(self._queries["purge_tombstones"], *asked)
            if not row["gone"]:
                return
            since = row["until"]
            yield row["gone"]

    async def _ask(self, name: str, *asked: object) -> Any:  # noqa: ANN401 - what the statement returns
        with translated():
            async with self._connections.one() as connection:
                return await connection.fetchval(self._queries[name], *asked, timeout=LONG_S)
