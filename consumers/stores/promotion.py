"""Which index do the views read, and how are they switched while readers use them?

Both views of a pair change in one transaction that has their locks to itself. So a statement, and a transaction that
has read one of them, sees both as they were before or both as they are after. Whoever comes meanwhile waits behind us,
so we do not wait long ourselves: what is not to be had at once is asked for again.
"""

import asyncio
import random

import asyncpg

from consumers.core.backoff import backoff
from consumers.stores.catalog import fingerprint_in, promoted_in, statements
from consumers.stores.connections import Connection, Connections
from consumers.stores.errors import translated
from consumers.stores.views import pair_script
from schemas import sql
from schemas.catalog import DEFAULT_PAIR, Switched, views_of
from schemas.errors import StoreMisconfigured, StoreUnavailable
from schemas.settings import StoreSettings

PATIENCE_S = 60.0
LOCKED = ("55P03", "40P01")
LONGEST_PAUSE_S = 2.0


class Promotion:
    """A pair of views that is to read an index."""

    def __init__(self, settings: StoreSettings, pair: str = DEFAULT_PAIR, *, patience_s: float = PATIENCE_S) -> None:
        self._settings = settings
        self._pair = pair
        self._patience_s = patience_s
        self._queries = statements()

    def __repr__(self) -> str:
        return f"<Promotion of {self._pair}>"

    async def previous(self) -> str:
        """Return what the pair read before. Raises StoreMisconfigured where nobody knows."""
        with translated():
            async with Connections(self._settings).plain() as connection:
                name = None
                if await connection.fetchval(self._queries["table_exists"], "headrace.promotions"):
                    name = await connection.fetchval(self._queries["previous"], self._pair)
        if name is None:
            documents, chunks = views_of(self._pair)
            raise StoreMisconfigured(
                f"there is nothing to go back to: headrace.{documents} and headrace.{chunks} have read no other index, "
                "or it was dropped"
            )
        return str(name)

    async def to(self, index: str, by: str) -> Switched:
        """Let the pair read *index*, in one transaction; *by* is who wants it.

        Raises StoreUnavailable where readers hold the views for longer than anybody waits.
        """
        with translated():
            async with Connections(self._settings).plain() as connection:
                return await self._patiently(connection, index, by)

    async def script(self, index: str) -> str:
        """Return the SQL that lets the pair read *index*, for a DBA to run in one go."""
        with translated():
            async with Connections(self._settings).plain() as connection:
                views = await self._views(connection, index)
        return f"BEGIN;\n\nCREATE SCHEMA IF NOT EXISTS headrace;\n\n{views}\nCOMMIT;\n"

    async def _patiently(self, connection: Connection, index: str, by: str) -> Switched:
        loop = asyncio.get_running_loop()
        until, attempts = loop.time() + self._patience_s, 0
        while True:
            attempts += 1
            try:
                previous = await self._switch(connection, index, by)
            except asyncpg.PostgresError as error:
                if error.sqlstate not in LOCKED:
                    raise
                if loop.time() > until:
                    raise StoreUnavailable(
                        f"readers have held the views for {self._patience_s:.0f} s without a pause, and nothing was "
                        "changed: let long transactions end (pg_stat_activity), then promote again"
                    ) from error
                await asyncio.sleep(backoff(attempts, random.random(), longest_s=LONGEST_PAUSE_S))  # noqa: S311 - jitter
            else:
                return Switched(self._pair, index, previous, attempts)

    async def _switch(self, connection: Connection, index: str, by: str) -> str | None:
        async with connection.transaction(isolation="read_committed"):
            await connection.execute(self._queries["short_lock"])
            await connection.execute(self._queries["lock_installation"])
            views = await self._views(connection, index)
            before = await promoted_in(connection, self._queries, self._pair)
            if before == index:
                return before
            await connection.execute(self._queries["promotions"])
            await connection.execute(views)
            await connection.execute(self._queries["remember"], self._pair, before, by)
        return before

    async def _views(self, connection: Connection, index: str) -> str:
        fingerprint = await fingerprint_in(connection, index)
        extension = await connection.fetchrow(self._queries["extension"])
        if extension is None:
            raise StoreMisconfigured("The extension vector is not installed in this database: run headrace init.")
        return pair_script(index, fingerprint, self._pair, f"{sql.identifier(extension['schema'])}.vector")
