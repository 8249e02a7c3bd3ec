"""How do the tests of commands run one? As a process, with the settings of their own topics and database."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compose.configuration import load
from compose.embedded.endpoints import Endpoints
from schemas.settings import Settings
from tests.stack.topics import Topics

ROOT = Path(__file__).parents[2]
WITHIN_S = 90.0


@dataclass(frozen=True)
class Ended:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever it is
        """Its answer."""
        return json.loads(self.out)


class Commands:
    """Runs commands on the shared stack, in a folder without a headrace.toml."""

    def __init__(self, stack: Endpoints, database: str, topics: Topics, folder: Path) -> None:
        self.environ = {
            "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "HEADRACE_KAFKA__TOPIC": topics.name("raw"),
            "HEADRACE_KAFKA__DLQ_TOPIC": topics.name("dlq"),
            "HEADRACE_KAFKA__PARKED_TOPIC": topics.name("parked"),
            "HEADRACE_KAFKA__GROUP": topics.name("group"),
            "HEADRACE_KAFKA__PARTITIONS": "2",
            "HEADRACE_PROVIDER__BASE_URL": stack.base_url,
            "HEADRACE_PROVIDER__MODEL": stack.model,
            "HEADRACE_PROVIDER__DIMENSIONS": str(stack.dimensions),
            "HEADRACE_STORE__DSN": database,
            "HEADRACE_HTTP__PORT": "0",
        }
        self._folder = folder

    def settings(self) -> Settings:
        """Return what the commands are configured to."""
        return load(None, self.environ, {}).settings

    async def run(self, *arguments: str, said: bytes = b"", **environ: str) -> Ended:
        """Run `headrace` to its end, with *said* as its standard input."""
        path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "compose", *arguments,
            cwd=self._folder,
            env={**os.environ, **self.environ, **environ, "PYTHONPATH": path},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(WITHIN_S):
                out, err = await process.communicate(said)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())
