"""How does a scenario reconcile? As an operator does, with the command."""

import asyncio
import json
import os
import sys
from typing import Any

from tests.scenarios.harness import Harness
from tests.scenarios.worker import ROOT

WITHIN_S = 90.0

Found = dict[str, set[tuple[str, str]]]
"""Tenant and id of the documents of each finding."""


async def start(harness: Harness, *arguments: str, **changed: object) -> asyncio.subprocess.Process:
    """Start ``headrace reconcile --json`` as a process; *changed* are settings, written as ``kafka__topic``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "compose", "reconcile", "--json", *arguments,
        env={**kept, **harness.environ(**changed), "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> tuple[int, list[Any], str]:
    """Wait for its end; return its exit code, the lines that it printed, and what it said beside them."""
    try:
        async with asyncio.timeout(WITHIN_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


async def reconcile(harness: Harness, *arguments: str, code: int = 0, **changed: object) -> tuple[Found, Any]:
    """Reconcile, and see it end with *code*; return what was found, and the last line."""
    got, lines, said = await ended(await start(harness, *arguments, **changed))
    assert got == code, f"exit code {got}: {said}"
    found: Found = {}
    for line in lines:
        if "finding" in line:
            found.setdefault(line["finding"], set()).add((line["tenant"], line["id"]))
    return found, lines[-1]
