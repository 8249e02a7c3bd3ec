"""Fixtures of the tests that run against the real Kafka, PostgreSQL and embedding server."""

from pathlib import Path

import pytest

from compose.embedded.endpoints import Endpoints
from tests.integration.commands import Commands
from tests.stack.topics import Topics


@pytest.fixture
def commands(stack: Endpoints, database: str, topics: Topics, folder: Path) -> Commands:
    """Run commands on topics and a database of this test alone."""
    return Commands(stack, database, topics, folder)
