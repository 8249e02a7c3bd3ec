"""What has to be there before a test may ask for a stack?"""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from compose.embedded.jars import cache_folder, jar_folder
from tests.stack.parts import CONTAINERS


def get_ready(kind: str, say: Callable[[str], None]) -> None:
    """Fetch Kafka's jars, however long that takes, or end the session where no Docker engine answers."""
    if kind == CONTAINERS:
        _require_engine()
    else:
        _fetch_kafka(say)


def _require_engine() -> None:
    from tests.stack.containers import engine_answers  # noqa: PLC0415 - only this kind needs testcontainers

    if not engine_answers():
        pytest.exit(
            "no Docker engine answers: start one, or run the tests on the embedded stack (make test)", returncode=1
        )


def _fetch_kafka(say: Callable[[str], None]) -> None:
    """Fetch them in a process, as the stack does, which tells why where it fails."""
    cache = cache_folder(os.environ)
    if not jar_folder(cache).exists():
        say("downloading Kafka, 42 MB, once")
        subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-m", "compose.embedded.jars", str(cache)], check=False
        )
