"""The program as it is typed: help, usage, exit codes, in processes of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from compose.cli import COMMANDS, GROUPS
from compose.cli.console import one_line, readable, readable_bytes
from schemas import __version__

ROOT = Path(__file__).parents[2]
ALL = [(command.name,) for command in COMMANDS] + [
    (group, command.name) for group, (_, commands) in GROUPS.items() for command in commands
]
LISTS = [
    ("init",),
    ("check",),
    ("publish",),
    ("search",),
    ("status",),
    ("dlq", "list"),
    ("dlq", "show"),
    ("dlq", "stats"),
    ("offsets", "show"),
]


class Ended(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def started(folder: Path, *arguments: str, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
    return subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-m", "compose", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended_of(process: subprocess.Popen[str]) -> Ended:
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return Ended(process.returncode, out, err)


def headrace(folder: Path, *arguments: str, environ: dict[str, str] | None = None) -> Ended:
    return ended_of(started(folder, *arguments, environ=environ))


def test_help_lists_every_command_and_the_version_is_told(folder: Path) -> None:
    helped = headrace(folder, "--help")
    assert helped.returncode == 0
    for name, *_ in ALL:
        assert f"\n  {name} " in helped.stdout
    assert headrace(folder, "--version").stdout == f"headrace {__version__}\n"


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_the_help_of_every_command_has_an_example_that_begins_with_it(folder: Path, command: tuple[str, ...]) -> None:
    helped = headrace(folder, *command, "--help")
    assert helped.returncode == 0, helped.stderr
    _, _, examples = helped.stdout.partition("Examples:\n")
    first = examples.strip().partition("\n")[0]
    assert first.startswith(f"headrace {' '.join(command)}"), "an example stands on a line of its own"
    assert ("--json" in helped.stdout) or command not in LISTS


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("serch",), "Did you mean 'search'"),
        (("search",), "Missing argument"),
        (("dlq", "list", "--limit", "no"), "Invalid value for '--limit'"),
        (("search", "x", "--set", "store.indx=a"), "did you mean store.index?"),
        (("search", "x"), "HEADRACE_STORE__DSN"),
        (("check", "--config", "nowhere.toml"), "there is no configuration file nowhere.toml"),
        (("dlq", "show", "first"), "PARTITION:OFFSET"),
        (("dlq", "list", "--since", "lately"), "--since lately"),
    ],
)
def test_wrong_usage_and_wrong_configuration_end_with_2_and_what_to_do(
    folder: Path, arguments: tuple[str, ...], told: str
) -> None:
    ended = headrace(folder, *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_part_that_does_not_answer_ends_with_1_and_what_to_do(folder: Path) -> None:
    ended = headrace(folder, "dlq", "list", environ={"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "127.0.0.1:1" in ended.stderr
    assert "headrace check" in ended.stderr
    assert len(ended.stderr.splitlines()) == 2, "the client's own log lines are no message of ours"


def test_check_says_of_each_part_that_it_is_away_and_ends_with_2(folder: Path) -> None:
    environ = {
        "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "HEADRACE_STORE__DSN": "postgresql://me:secret-word@127.0.0.1:1/db",
        "HEADRACE_PROVIDER__BASE_URL": "http://127.0.0.1:1/v1",
        "HEADRACE_PROVIDER__MODEL": "m",
        "HEADRACE_PROVIDER__DIMENSIONS": "3",
    }
    ended = headrace(folder, "check", "--json", environ=environ)
    assert ended.returncode == 2
    told = json.loads(ended.stdout)
    assert [(one["part"], one["level"]) for one in told["findings"]] == [
        ("kafka", "wrong"),
        ("store", "wrong"),
        ("provider", "wrong"),
    ]
    assert all(one["mend"] for one in told["findings"])
    assert told["settings"]["store.dsn"] == {"value": "postgresql://me:***@127.0.0.1:1/db", "source": "environment"}
    assert "secret-word" not in ended.stdout + ended.stderr


def test_status_works_while_everything_is_down_and_says_so(folder: Path) -> None:
    environ = {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "HEADRACE_HTTP__PORT": "1"}
    ended = headrace(folder, "status", "--json", environ=environ)
    assert ended.returncode == 1
    told = json.loads(ended.stdout)
    assert (told["kafka"], told["index"], told["worker"]) == (None, None, None)
    assert set(told["problems"]) == {"kafka", "index", "worker"}


def test_ctrl_c_ends_a_command_with_130_and_no_traceback(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        process = started(folder, "dlq", "list", environ={"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": server})
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        ended = ended_of(process)
        connection.close()
    assert ended == (130, "", "headrace: interrupted\n")


def test_ctrl_c_ends_a_watch_with_0(folder: Path) -> None:
    environ = {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "HEADRACE_HTTP__PORT": "0"}
    process = started(folder, "status", "--watch", "--json", environ=environ)
    assert process.stdout is not None
    for _ in range(2):
        assert "127.0.0.1:1" in json.loads(process.stdout.readline())["problems"]["kafka"]
    process.send_signal(signal.SIGINT)
    ended = ended_of(process)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_help_does_without_what_is_slow_to_import(folder: Path) -> None:
    code = "import sys, compose.cli; compose.cli.build(['--help']); print(*sys.modules)"
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
    ended = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    assert not loaded & {"aiokafka", "aiohttp", "asyncpg", "numpy", "opentelemetry", "pydantic", "rich", "structlog"}


def test_what_is_shown_can_not_move_the_cursor_and_keeps_its_letters() -> None:
    assert readable("a\x1b[31m\u202eb\r") == r"a\x1b[31m\u202eb\r"
    assert readable("naïve — 漢字 👩‍🚀\n\tx") == "naïve — 漢字 👩‍🚀\n\tx"
    assert readable_bytes(b"\xff\x00ok") == r"\xff\x00ok"
    assert readable_bytes(None) == "null"
    assert one_line(" a\n\n b ") == "a b"
