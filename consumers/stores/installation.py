"""How does an index come to be?"""

import asyncpg

from consumers.stores.connections import OLDEST_PGVECTOR, SOUND_PGVECTOR, Connection, version_of
from consumers.stores.views import pair_script
from schemas import sql
from schemas.catalog import DEFAULT_PAIR
from schemas.errors import StoreMisconfigured
from schemas.index import Fingerprint
from schemas.settings import StoreSettings

_NO_PGVECTOR = (
    "This PostgreSQL has no pgvector: install it on the database server (the package postgresql-NN-pgvector, or a "
    "server that comes with it), then run headrace init again."
)
_NEEDS_SUPERUSER = (
    "Only a superuser may create the extension vector here: have one run CREATE EXTENSION vector in this database, "
    "then run headrace init again."
)


class Installation:
    """Make one index: its extension, its schema, its tables and, for the first index, the readers' views."""

    def __init__(self, settings: StoreSettings, fingerprint: Fingerprint) -> None:
        self._settings = settings
        self._fingerprint = fingerprint
        self._queries = sql.queries(self._values(""))

    def script(self) -> str:
        """Return the SQL that makes the index, for a DBA to run in one go; it may be run again."""
        values = self._values("")
        parts = [
            "-- The index "
            + self._settings.index
            + " of headrace. Run it in one go, as a role that may create schemas;",
            "-- CREATE EXTENSION needs a superuser.",
            "BEGIN;",
            self._queries["lock_installation"] + ";",
            "CREATE EXTENSION IF NOT EXISTS vector;",
            self._queries["begin_index"],
            *(self._guarded(migration, values) for migration in sql.migrations()),
            self._about_row(values),
            self._views(values),
            "COMMIT;",
        ]
        return "\n\n".join(parts) + "\n"

    async def run(self, connection: Connection) -> list[str]:
        """Make what is missing, in one transaction, and return what was done in words.

        Raises StoreMisconfigured where pgvector or rights are missing, or the index is one of another fingerprint.
        """
        async with connection.transaction(isolation="read_committed"):
            await connection.execute(self._queries["lock_installation"])
            done = await self._extend(connection)
            extension = await connection.fetchrow(self._queries["extension"])
            if extension is None:
                raise StoreMisconfigured(_NO_PGVECTOR)
            done += _judge_pgvector(extension["version"])
            values = self._values(sql.identifier(extension["schema"]) + ".")
            done += await self._migrate(connection, values)
            stored = await read_about(connection, self._settings.index)
            if stored is None:
                await connection.execute(self._about_row(values))
            else:
                self._compare(stored)
            if not await connection.fetchval(self._queries["table_exists"], "headrace.documents"):
                await connection.execute(self._views(values))
                done.append(f"promoted the index {self._settings.index}: headrace.documents, headrace.chunks")
        return done

    async def _extend(self, connection: Connection) -> list[str]:
        if await connection.fetchrow(self._queries["extension"]) is not None:
            return []
        try:
            await connection.execute("CREATE EXTENSION vector")
        except asyncpg.InsufficientPrivilegeError as error:
            raise StoreMisconfigured(_NEEDS_SUPERUSER) from error
        except (asyncpg.UndefinedFileError, asyncpg.FeatureNotSupportedError) as error:
            raise StoreMisconfigured(_NO_PGVECTOR) from error
        return ["created the extension vector"]

    async def _migrate(self, connection: Connection, values: dict[str, str]) -> list[str]:
        index = self._settings.index
        done = []
        if not await connection.fetchval(self._queries["table_exists"], f"{sql.identifier(index)}.migrations"):
            await connection.execute(self._queries["begin_index"])
            done.append(f"created the index {index}")
        applied = {row["number"] for row in await connection.fetch(self._queries["applied_migrations"])}
        for migration in sql.migrations():
            if migration.number not in applied:
                await connection.execute(self._step(migration, values))
                done.append(f"applied migration {migration.number:04}_{migration.name}")
        return done

    def _compare(self, stored: Fingerprint) -> None:
        if stored != self._fingerprint:
            raise StoreMisconfigured(
                f"The index {self._settings.index} holds {describe(stored)}, the settings say "
                f"{describe(self._fingerprint)}: name another index in store.index, or mend the settings."
            )

    def _step(self, migration: sql.Migration, values: dict[str, str]) -> str:
        row = values | {"number": str(migration.number), "name": sql.literal(migration.name)}
        note = sql.fill("INSERT INTO {index}.migrations (number, name) VALUES ({number}, {name});", row)
        return f"{sql.fill(migration.sql, values)}\n{note}"

    def _guarded(self, migration: sql.Migration, values: dict[str, str]) -> str:
        known = f"SELECT FROM {values['index']}.migrations WHERE number = {migration.number}"
        quote = self._quote("migration")
        body = self._step(migration, values)
        return f"DO {quote}\nBEGIN\nIF NOT EXISTS ({known}) THEN\n{body}\nEND IF;\nEND\n{quote};"

    def _about_row(self, values: dict[str, str]) -> str:
        is_ = self._fingerprint
        row = (is_.provider, is_.model, str(is_.dimensions), is_.vector_type, is_.chunking, is_.tokenizer)
        return (
            f"INSERT INTO {values['index']}.about (provider, model, dimensions, vector_type, chunking, tokenizer)\n"
            f"VALUES ({', '.join(map(sql.literal, row))}) ON CONFLICT DO NOTHING;"
        )

    def _views(self, values: dict[str, str]) -> str:
        pair = pair_script(self._settings.index, self._fingerprint, DEFAULT_PAIR, values["plain_vector"])
        return sql.fill(sql.script("views.sql"), values | {"pair": pair})

    def _values(self, prefix: str) -> dict[str, str]:
        is_ = self._fingerprint
        return {
            "index": sql.identifier(self._settings.index),
            "vector": f"{prefix}{is_.vector_type}({is_.dimensions})",
            "plain_vector": f"{prefix}vector",
            "vector_schema": prefix.rstrip("."),
            "quote": self._quote("views"),
        }

    def _quote(self, word: str) -> str:
        # Nobody can name a model so that its own digest ends this quotation.
        return f"${word}_{self._fingerprint.digest}$"


async def read_about(connection: Connection, index: str) -> Fingerprint | None:
    """Return the fingerprint of an index, or None where there is no index."""
    schema = sql.identifier(index)
    queries = sql.queries({"index": schema, "vector_schema": ""})
    if not await connection.fetchval(queries["table_exists"], f"{schema}.about"):
        return None
    row = await connection.fetchrow(queries["about"])
    return None if row is None else Fingerprint(**dict(row))


async def unapplied(connection: Connection, index: str) -> list[str]:
    """Return the migrations that an index has not gone through, by name."""
    names = {migration.number: f"{migration.number:04}_{migration.name}" for migration in sql.migrations()}
    queries = sql.queries({"index": sql.identifier(index), "vector_schema": ""})
    rows = await connection.fetch(queries["unapplied_migrations"], list(names))
    return [names[row["number"]] for row in rows]


def describe(fingerprint: Fingerprint) -> str:
    """Write a fingerprint in a few words."""
    return (
        f"{fingerprint.model} of {fingerprint.provider} with {fingerprint.dimensions} dimensions as "
        f"{fingerprint.vector_type}, chunking {fingerprint.chunking} counted by {fingerprint.tokenizer}"
    )


def _judge_pgvector(version: str) -> list[str]:
    if version_of(version) < OLDEST_PGVECTOR:
        raise StoreMisconfigured(
            f"pgvector {version} is too old, 0.8.4 or newer is needed: upgrade it on the server, then run "
            "ALTER EXTENSION vector UPDATE."
        )
    if version_of(version) < SOUND_PGVECTOR:
        return [f"warning: pgvector {version} can corrupt HNSW indexes during a vacuum, upgrade to 0.8.4 or newer"]
    return []
