"""How does each test get a database of its own?"""

from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

PATIENCE_S = 30.0


class Databases:
    """Databases copied from a template that has the vector extension, which only a superuser may create."""

    def __init__(self, dsn: str, template: str) -> None:
        """Take the superuser's *dsn* and the name of the *template*."""
        self._dsn = dsn
        self._template = template

    @classmethod
    async def prepared(cls, dsn: str) -> "Databases":
        """Make the template."""
        template = f"template_{uuid4().hex}"
        await _run(dsn, f"CREATE DATABASE {template}")
        await _run(within(dsn, template), "CREATE EXTENSION IF NOT EXISTS vector")
        return cls(dsn, template)

    async def create(self) -> str:
        """Make an empty database with the vector extension; return its dsn."""
        name = f"test_{uuid4().hex}"
        await _run(self._dsn, f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return within(self._dsn, name)

    async def drop(self, dsn: str) -> None:
        """Drop it, whoever is still connected."""
        await _run(self._dsn, f"DROP DATABASE IF EXISTS {urlsplit(dsn).path[1:]} WITH (FORCE)")


def within(dsn: str, database: str) -> str:
    """Return *dsn* for another database of the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


async def _run(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=PATIENCE_S, command_timeout=PATIENCE_S)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
