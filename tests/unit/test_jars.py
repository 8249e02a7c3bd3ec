"""The folder of jars is whole or not there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compose.embedded import jars


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stand in for Maven Central: every download is noted here."""
    calls: list[Path] = []

    def resolve() -> list[Path]:
        repository = Path(os.environ["M2_REPO"])
        calls.append(repository)
        repository.mkdir(parents=True, exist_ok=True)
        found = [repository / f"{name}.jar" for name in ("kafka", "log4j")]
        for jar in found:
            jar.write_text(jar.stem)
        return found

    monkeypatch.setattr(jars, "_resolve", resolve)
    monkeypatch.setenv("M2_REPO", str(tmp_path / "unused"))
    return calls


def test_jars_are_fetched_once(tmp_path: Path, downloads: list[Path]) -> None:
    cache = tmp_path / "a cache with blanks"
    jars.fetch(cache)
    jars.fetch(cache)
    assert len(downloads) == 1
    assert sorted(path.name for path in jars.jar_folder(cache).iterdir()) == ["kafka.jar", "log4j.jar"]


def test_what_an_interrupted_download_left_is_thrown_away(tmp_path: Path, downloads: list[Path]) -> None:
    left = tmp_path / f"{jars.SET_NAME}.partial" / "jars" / "half.jar"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    jars.fetch(tmp_path)
    assert len(downloads) == 1
    assert not (jars.jar_folder(tmp_path) / "half.jar").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [jars.SET_NAME, f"{jars.SET_NAME}.lock"]


def test_a_failed_download_leaves_no_folder_that_looks_whole(
    tmp_path: Path, downloads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> list[Path]:
        raise OSError("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(jars, "_resolve", fail)
        with pytest.raises(OSError, match="connection reset"):
            jars.fetch(tmp_path)
    assert not jars.jar_folder(tmp_path).exists()
    jars.fetch(tmp_path)
    assert len(downloads) == 1


def test_the_users_own_maven_repository_is_left_alone(tmp_path: Path, downloads: list[Path]) -> None:
    jars.fetch(tmp_path)
    assert [path.is_relative_to(tmp_path) for path in downloads] == [True]
    assert not (tmp_path / "unused").exists()


def test_who_comes_second_waits_for_the_first(tmp_path: Path, downloads: list[Path]) -> None:
    holding = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); print(1, flush=True);"
        "import time; time.sleep(0.5)"
    )
    lock = tmp_path / f"{jars.SET_NAME}.lock"
    with subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-c", holding, str(lock)], stdout=subprocess.PIPE
    ) as first:
        assert first.stdout
        first.stdout.readline()
        began = time.monotonic()
        jars.fetch(tmp_path)
    assert time.monotonic() - began > 0.3
    assert len(downloads) == 1


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({"HEADRACE_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, "/c"), ({"XDG_CACHE_HOME": "/x"}, "/x/headrace")],
)
def test_the_cache_is_where_the_user_wants_it(environ: dict[str, str], expected: str) -> None:
    assert jars.cache_folder(environ) == Path(expected)
