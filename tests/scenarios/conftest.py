"""Fixtures: a scenario on the shared stack, and one on a stack whose parts it may kill."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from compose.embedded.endpoints import Endpoints
from tests.scenarios.faults import report
from tests.scenarios.harness import Harness
from tests.stack.parts import AnyStack
from tests.stack.topics import Topics


@pytest.fixture
async def harness(
    stack: Endpoints, database: str, topics: Topics, folder: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Harness]:
    """Give topics, an index and a fake provider to one scenario."""
    async with Harness(stack.bootstrap_servers, database, topics.name(""), folder) as harness:
        yield harness
        await report(request.path.stem, harness)


@pytest.fixture
async def private_harness(
    private_stack: AnyStack, folder: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Harness]:
    """Give the same on the ``private_stack`` of this test."""
    at = private_stack.endpoints
    async with Harness(at.bootstrap_servers, at.dsn, "", folder) as harness:
        yield harness
        await report(request.path.stem, harness)
