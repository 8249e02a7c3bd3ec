"""Fixtures: the stack the tests run on, and a database, topics and a folder for each test.

A test that only reads and writes shares one stack with all others and keeps apart by its own ``database`` and
``topics``. A test that stops or kills a part has a ``private_stack``. Nothing starts before a test asks for it.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from compose.embedded.endpoints import Endpoints
from tests.stack.background import Background
from tests.stack.databases import Databases
from tests.stack.leftovers import end, leftovers, mark_session
from tests.stack.parts import CONTAINERS, EMBEDDED, AnyStack, new_stack
from tests.stack.readiness import get_ready
from tests.stack.topics import Topics

CHOICE = "HEADRACE_TEST_STACK"
KEPT = ("HEADRACE_CACHE", "HEADRACE_TEST_")
"""So begin the variables that a test session leaves as they are."""
START_WITHIN_S = 150.0
STOP_WITHIN_S = 60.0

_own_folder = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the session apart from its surroundings: a temporary folder of its own, no settings of the user's."""
    if _kind() not in (EMBEDDED, CONTAINERS):
        raise pytest.UsageError(f"{CHOICE} (make test STACK=…) is {EMBEDDED} or {CONTAINERS}")
    if config.option.basetemp is None:
        config.stash[_own_folder] = Path(tempfile.mkdtemp(prefix="headrace-"))
        config.option.basetemp = str(config.stash[_own_folder] / "t")
    for name in [name for name in os.environ if name.startswith("HEADRACE_") and not name.startswith(KEPT)]:
        del os.environ[name]
    os.environ["HEADRACE_STATE"] = f"{config.option.basetemp}/no-stack-runs-here"
    mark_session()
    # Clean up as after Ctrl-C, also when a time limit strikes. What a shell runs in the background ignores Ctrl-C, and
    # so would every command that is started here.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no folder behind; ``--basetemp`` keeps what is to be looked at."""
    if _own_folder in config.stash:
        shutil.rmtree(config.stash[_own_folder], ignore_errors=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get what a stack needs before the clock of the first test that asks for one starts; unit tests need nothing."""
    wanted = any({"stack", "private_stack"} & set(getattr(item, "fixturenames", ())) for item in session.items)
    if wanted and not session.config.option.collectonly:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        get_ready(_kind(), reporter.write_line if reporter else lambda _: None)


def _kind() -> str:
    return os.environ.get(CHOICE, EMBEDDED)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the session if a process that was started in it still lives at its end."""
    yield
    left = end(leftovers())
    assert not left, "processes left behind by the tests (killed now):\n" + "\n".join(left)


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    """Run what outlives a test's own event loop."""
    with Background() as background:
        yield background


@pytest.fixture(scope="session")
def stack(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Say where the Kafka, the PostgreSQL and the embedding server answer that all tests share."""
    running = new_stack(_kind(), tmp_path_factory.mktemp("stack"))
    background.run(running.__aenter__(), within=START_WITHIN_S)
    try:
        yield running.endpoints
    finally:
        background.run(running.__aexit__(None, None, None), within=STOP_WITHIN_S)


@pytest.fixture(scope="session")
def databases(stack: Endpoints, background: Background) -> Databases:
    """Make databases on the shared server."""
    return background.run(Databases.prepared(stack.dsn), within=STOP_WITHIN_S)


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[str]:
    """Give the dsn of a fresh database that has the vector extension."""
    dsn = await databases.create()
    yield dsn
    await databases.drop(dsn)


@pytest.fixture
async def topics(stack: Endpoints) -> AsyncIterator[Topics]:
    """Create topics: ``await topics.create("raw", partitions=2)`` returns a name of this test alone."""
    topics = Topics(stack.bootstrap_servers)
    yield topics
    await topics.delete()


@pytest.fixture
async def private_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AnyStack]:
    """Start a stack for this test alone: ``await private_stack.kafka.kill()``, then ``.start()``."""
    async with new_stack(_kind(), tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an empty folder for what a program keeps; it is gone after the session."""
    return tmp_path
