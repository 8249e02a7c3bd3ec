"""The embedding server as a part of the stack."""

import sys
from typing import ClassVar

import aiohttp

from compose.embedded import ports
from compose.embedded.extra import installed
from compose.embedded.part import Part
from compose.embedded.processes import Command, own_environ

MODEL = "wordllama-256"
DIMENSIONS = 256


class EmbeddingServer(Part):
    """An OpenAI-compatible server with a small static model, in a process of its own."""

    name: ClassVar[str] = "embeddings"

    @property
    def base_url(self) -> str:
        """Address for clients, with its ``/v1``; empty before the first start."""
        return f"http://{ports.HOST}:{self.port}/v1" if self.port else ""

    async def _prepare(self) -> None:
        installed("wordllama")

    def _command(self) -> Command:
        argv = (sys.executable, "-P", "-m", "compose.embedded.server", "--port", str(self.port))
        return Command(argv, self.folder, self.log, own_environ())

    async def _answers(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
                session.get(f"http://{ports.HOST}:{self.port}/health") as reply,
            ):
                return reply.status == 200  # noqa: PLR2004 - OK
        except (aiohttp.ClientError, TimeoutError):
            return False
