"""The moment of a forced run is a time with its zone, and one for all processes of the run."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest

from compose.configuration import load
from compose.supervisor import supervise
from schemas.errors import ConfigurationError


def test_the_moment_needs_its_zone() -> None:
    told = load(None, {"HEADRACE_WORKER__FORCE_BEFORE": "2026-11-21T12:00:00+02:00"}, {})
    assert told.settings.worker.force_before == datetime(2026, 11, 21, 10, tzinfo=UTC)
    for wrong in ("2026-11-21T12:00:00", "2026-11-21", "now"):
        with pytest.raises(ConfigurationError, match=r"worker\.force_before"):
            load(None, {}, {"worker.force_before": wrong})


def test_every_child_is_told_the_moment_of_its_supervisor_also_when_it_is_started_again() -> None:
    moment = "2026-11-21T12:00:00.123000+00:00"
    settings = load(None, {}, {"worker.workers": "2", "worker.force_before": moment}).settings
    codes = iter([1, 0, 0])
    started: list[Sequence[str]] = []

    async def start(*command: Any, **_: Any) -> AsyncMock:  # noqa: ANN401 - of asyncio
        started.append(json.loads(command[-1])["argv"])
        return AsyncMock(wait=AsyncMock(return_value=next(codes)), returncode=0)

    with (
        patch.object(asyncio, "create_subprocess_exec", start),
        patch("compose.supervisor.RESTART_FIRST_S", 0.01),
    ):
        assert supervise(["run", "--force"], settings) == 1
    assert len(started) == 3
    assert all(f"worker.force_before={moment}" in argv for argv in started)


def test_a_child_that_is_ended_before_it_can_listen_has_ended_well() -> None:
    settings, start = load(None, {}, {"worker.workers": "2"}).settings, asyncio.create_subprocess_exec
    started = 0

    async def start_deaf(*_: Any, **__: Any) -> asyncio.subprocess.Process:  # noqa: ANN401 - of asyncio
        nonlocal started
        child = await start(sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)")
        started += 1
        if started == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return child

    with patch.object(asyncio, "create_subprocess_exec", start_deaf):
        assert supervise(["run"], settings) == 0
