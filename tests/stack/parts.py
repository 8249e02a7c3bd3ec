"""What may a test do to the stack it runs on, whatever kind it is?"""

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import asyncpg
from aiokafka.errors import KafkaError

from compose.embedded.endpoints import Endpoints

EMBEDDED, CONTAINERS = "embedded", "containers"
# asyncpg calls it an error of its own where a connection breaks between two messages of the server.
AWAY = (KafkaError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the clients raise while a part is away."""


class Part(Protocol):
    """Kafka, PostgreSQL or the embedding server. It keeps its address and its data through all of these."""

    async def start(self) -> None:
        """Start it; return when it answers."""

    async def stop(self) -> None:
        """Stop it as an operator would."""

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""

    async def restart(self) -> None:
        """Stop it if it runs, and start it again."""


class AnyStack(Protocol):
    """All three of them."""

    @property
    def endpoints(self) -> Endpoints:
        """Where they answer."""

    @property
    def kafka(self) -> Part:
        """The broker."""

    @property
    def postgres(self) -> Part:
        """The database."""

    @property
    def embeddings(self) -> Part:
        """The embedding server."""

    async def __aenter__(self) -> Self:
        """Start all of it."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all of it; leave nothing behind but the folder."""


def new_stack(kind: str, folder: Path) -> AnyStack:
    """Return a stack that is not started yet. What it keeps on this machine is in *folder*."""
    if kind == CONTAINERS:
        from tests.stack.containers import ContainerStack  # noqa: PLC0415 - needs testcontainers

        return ContainerStack(folder)
    from compose.embedded.stack import Stack  # noqa: PLC0415 - unit tests do without the extra `embedded`

    return Stack(folder)
