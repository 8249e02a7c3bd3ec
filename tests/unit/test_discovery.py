"""A running stack is found, and nothing else is taken for one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from compose.embedded.discovery import FILE, announce, running_stack, state_folder, withdraw
from compose.embedded.endpoints import Endpoints
from compose.embedded.processes import identity

ENDPOINTS = Endpoints("127.0.0.1:1", "postgresql://u:secret@127.0.0.1:2/d", "http://127.0.0.1:3/v1", "m", 4)


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    return {"HEADRACE_STATE": str(tmp_path)}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that does nothing."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def said_by(process: subprocess.Popen[bytes], folder: Path, **changes: object) -> None:
    announce(folder, ENDPOINTS)
    said = json.loads((folder / FILE).read_text())
    said |= {"pid": process.pid, "identity": identity(process.pid)} | changes
    (folder / FILE).write_text(json.dumps(said))


def test_an_announced_stack_is_found_until_it_is_withdrawn(tmp_path: Path, environ: Mapping[str, str]) -> None:
    announce(tmp_path, ENDPOINTS)
    assert running_stack(environ) == ENDPOINTS
    withdraw(tmp_path)
    assert running_stack(environ) is None


def test_a_stack_of_another_living_process_is_found(
    tmp_path: Path, environ: Mapping[str, str], sleeper: subprocess.Popen[bytes]
) -> None:
    said_by(sleeper, tmp_path)
    assert running_stack(environ) == ENDPOINTS


def test_the_file_of_a_killed_process_is_not_believed(
    tmp_path: Path, environ: Mapping[str, str], sleeper: subprocess.Popen[bytes]
) -> None:
    said_by(sleeper, tmp_path)
    sleeper.kill()
    sleeper.wait()
    assert running_stack(environ) is None


def test_a_zombie_does_not_count_as_running(
    tmp_path: Path, environ: Mapping[str, str], sleeper: subprocess.Popen[bytes]
) -> None:
    said_by(sleeper, tmp_path)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert running_stack(environ) is None


def test_a_process_id_that_now_belongs_to_another_is_not_believed(
    tmp_path: Path, environ: Mapping[str, str], sleeper: subprocess.Popen[bytes]
) -> None:
    said_by(sleeper, tmp_path, identity=identity(os.getpid()))
    assert running_stack(environ) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"pid": "1"}', '{"pid": 1}'])
def test_a_broken_file_is_no_stack(tmp_path: Path, environ: Mapping[str, str], content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert running_stack(environ) is None


def test_a_file_of_another_release_that_says_less_is_no_stack(tmp_path: Path, environ: Mapping[str, str]) -> None:
    announce(tmp_path, ENDPOINTS)
    said = json.loads((tmp_path / FILE).read_text())
    del said["dsn"]
    (tmp_path / FILE).write_text(json.dumps(said))
    assert running_stack(environ) is None


def test_the_file_holds_a_password_and_is_the_users_alone(tmp_path: Path) -> None:
    announce(tmp_path, ENDPOINTS)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE]


def test_the_password_is_in_no_repr() -> None:
    assert "secret" not in repr(ENDPOINTS)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HEADRACE_STATE": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/s"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/headrace"),
        ({"HOME": "/h"}, "/h/.local/state/headrace"),
        ({"HEADRACE_STATE": "", "XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/headrace"),
    ],
)
def test_the_state_folder_is_the_first_that_is_set(environ: Mapping[str, str], expected: str) -> None:
    assert state_folder(environ) == Path(expected)


def test_no_home_folder_is_no_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert running_stack({}) is None
