"""The same stack from container images, where a Docker engine is there.

The engine has to be on this machine: Kafka tells its clients an address, and that is 127.0.0.1.
"""

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import asyncpg
import docker
from aiokafka.admin import AIOKafkaAdminClient
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

from compose.embedded.endpoints import Endpoints
from compose.embedded.ports import HOST, pick
from compose.embedded.stack import Stack
from tests.stack.parts import AWAY, Part

KAFKA_IMAGE = "apache/kafka:4.3.1"
POSTGRES_IMAGE = "pgvector/pgvector:pg18"
PASSWORD = "not-a-secret"
READY_WITHIN_S = 120.0
GRACE_S = 30


def engine_answers() -> bool:
    """Say whether a Docker engine can be reached."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the client leaves its socket open when it is refused
        answers = _ping()
        gc.collect()
    return answers


def _ping() -> bool:
    try:
        client = docker.from_env(timeout=10)
    except DockerException:
        return False
    try:
        client.ping()
    except DockerException:
        return False
    finally:
        client.close()
    return True


@dataclass(frozen=True)
class Image:
    """What to run: an image that listens on *port* inside the container."""

    name: str
    port: int
    environ: Mapping[str, str]


class ContainerPart:
    """One container. Its port on this machine is chosen once, so that a restart keeps the address."""

    def __init__(self, image: Image, port: int, ready: Callable[[], Awaitable[None]]) -> None:
        """Listen on *port* of 127.0.0.1; *ready* raises OSError or an error of its client until the part answers."""
        container = DockerContainer(image.name, env=dict(image.environ))
        # The Docker client takes (address, port) as well, which testcontainers' types do not say.
        container.ports = {f"{image.port}/tcp": (HOST, port)}  # type: ignore[dict-item]
        self._container = container
        self._ready = ready
        self._created = False

    async def start(self) -> None:
        """Create the container, or start the one that was stopped or killed."""
        if self._created:
            await asyncio.to_thread(self._container.get_wrapped_container().start)
        else:
            await asyncio.to_thread(self._container.start)
            self._created = True
        async with asyncio.timeout(READY_WITHIN_S):
            await self._answering()

    async def stop(self) -> None:
        """Stop it with SIGTERM; its data stays in the container."""
        await asyncio.to_thread(self._container.get_wrapped_container().stop, timeout=GRACE_S)

    async def kill(self) -> None:
        """Kill -9."""
        wrapped = self._container.get_wrapped_container()
        await asyncio.to_thread(wrapped.kill)
        await asyncio.to_thread(wrapped.wait)

    async def restart(self) -> None:
        """Stop it if it runs, and start it again."""
        await self.stop()
        await self.start()

    async def aclose(self) -> None:
        """Remove the container and its data."""
        await asyncio.to_thread(self._container.stop)

    async def _answering(self) -> None:
        while True:
            try:
                await self._ready()
            except AWAY:
                await asyncio.sleep(0.2)
            else:
                return


class ContainerStack:
    """Kafka and PostgreSQL in containers; the embedding server is a process, as in the embedded stack."""

    def __init__(self, folder: Path) -> None:
        self._closing = AsyncExitStack()
        self._local = Stack(folder, parts=frozenset({"embeddings"}))
        kafka_port, postgres_port = pick(), pick()
        self._servers = f"{HOST}:{kafka_port}"
        self._dsn = f"postgresql://postgres:{PASSWORD}@{HOST}:{postgres_port}/postgres"
        self.kafka = ContainerPart(_kafka(kafka_port), kafka_port, self._kafka_answers)
        self.postgres = ContainerPart(_postgres(), postgres_port, self._postgres_answers)

    @property
    def endpoints(self) -> Endpoints:
        """Where the three answer."""
        return replace(self._local.endpoints, bootstrap_servers=self._servers, dsn=self._dsn)

    @property
    def embeddings(self) -> Part:
        """The embedding server."""
        return self._local.embeddings

    async def __aenter__(self) -> Self:
        """Start all three; what was started is stopped if another one does not come up."""
        async with AsyncExitStack() as started:
            await started.enter_async_context(self._local)
            for part in (self.kafka, self.postgres):
                started.push_async_callback(part.aclose)
                await part.start()
            self._closing = started.pop_all()
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Remove the containers and end the embedding server."""
        await self._closing.aclose()

    async def _kafka_answers(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=5_000)
        try:
            await admin.start()
            await admin.describe_cluster()
        finally:
            await admin.close()

    async def _postgres_answers(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=5)
        await connection.close()


def _kafka(port: int) -> Image:
    """Describe one node of both roles.

    It listens on the same port number inside as outside: the broker also calls itself, by the address it tells others.
    """
    return Image(
        KAFKA_IMAGE,
        port,
        {
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{HOST}:{port}",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "KAFKA_BROKER_SESSION_TIMEOUT_MS": "3000",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        },
    )


def _postgres() -> Image:
    return Image(POSTGRES_IMAGE, 5432, {"POSTGRES_PASSWORD": PASSWORD})
