"""How does a scenario reset offsets as an operator does? With ``headrace offsets`` as a process."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.scenarios.harness import Harness
from tests.scenarios.worker import ROOT

WITHIN_S = 90.0
LOOK_S = 0.01


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


class Operator:
    """Whoever types ``headrace`` in a scenario; undo files are kept in *folder*."""

    def __init__(self, harness: Harness, folder: Path) -> None:
        self._harness = harness
        self.undo_files = folder / "state" / "offsets"
        self._state = folder / "state"

    async def start(self, *arguments: str, **changed: object) -> asyncio.subprocess.Process:
        """Start a command; *changed* are settings, written as ``kafka__topic``."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        told = {**kept, **self._harness.environ(**changed), "HEADRACE_STATE": str(self._state)}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "compose", *arguments,
            env={**told, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def run(self, *arguments: str, **changed: object) -> Ended:
        """Run a command to its end."""
        process = await self.start(*arguments, **changed)
        try:
            async with asyncio.timeout(WITHIN_S):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    async def offsets(self, *arguments: str, **changed: object) -> Any:  # noqa: ANN401 - whatever it is
        """Run ``headrace offsets … --json``, see it do what it was told, and return its answer."""
        ended = await self.run("offsets", *arguments, "--json", **changed)
        assert ended.code == 0, ended.err
        return ended.json

    async def reset_killed(self, *arguments: str) -> None:
        """Reset, and kill -9 the command as soon as its undo file is there."""
        known = set(self.undo_files.glob("*"))
        process = await self.start("offsets", "reset", "--execute", *arguments)
        try:
            async with asyncio.timeout(WITHIN_S):
                while set(self.undo_files.glob("*.json")) == known and process.returncode is None:
                    await asyncio.sleep(LOOK_S)
        finally:
            if process.returncode is None:
                process.kill()
            out, err = await process.communicate()
        assert set(self.undo_files.glob("*.json")) != known, (out, err)
