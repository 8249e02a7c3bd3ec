"""Where are Kafka's jars? Fetched once, by a process of its own: ``python -m compose.embedded.jars [FOLDER]``.

Resolving costs seconds of Python, and a thread could not be interrupted.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
SET_NAME = "kafka-4.3.1"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where downloads are kept: ``$HEADRACE_CACHE``, ``$XDG_CACHE_HOME/headrace`` or ``~/.cache/headrace``."""
    if told := environ.get("HEADRACE_CACHE"):
        return Path(told)
    if xdg := environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "headrace"
    return Path.home() / ".cache" / "headrace"


def jar_folder(cache: Path) -> Path:
    """Return the folder that holds all jars; it exists only when it is complete."""
    return cache / SET_NAME


def command(cache: Path) -> tuple[str, ...]:
    """Return the words that run this module."""
    return (sys.executable, "-P", "-m", "compose.embedded.jars", str(cache))


def fetched(cache: Path) -> str:
    """Say in words how much of a download that is under way has come: descriptions first, then the jars."""
    sizes = [path.stat().st_size for path in _draft(cache).glob("repository/**/*.*") if path.is_file()]
    return f"{len(sizes)} files, {sum(sizes) // 1_000_000} MB so far"


def fetch(cache: Path) -> None:
    """Make the jar folder, unless it is there.

    A half-made one has another name, and a private Maven repository, so that an interrupted download is never taken
    for a jar. Others that want the same wait.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / f"{SET_NAME}.lock"):
        if jar_folder(cache).exists():
            return
        draft = _draft(cache)
        shutil.rmtree(draft, ignore_errors=True)
        os.environ["M2_REPO"] = str(draft / "repository")
        jars = draft / "jars"
        jars.mkdir(parents=True)
        for jar in _resolve():
            shutil.copyfile(jar, jars / jar.name)
        jars.rename(jar_folder(cache))
        shutil.rmtree(draft)


def _draft(cache: Path) -> Path:
    return cache / f"{SET_NAME}.partial"


def _resolve() -> list[Path]:
    """Download both sets.

    They are resolved apart: joined into one, the logging library's BOM swaps kafka-clients for an older one.
    """
    import jgo  # noqa: PLC0415 - the extra may be missing

    artifacts = [artifact for endpoint in (KAFKA, LOGGING) for artifact in jgo.resolve(endpoint)]
    distinct = {artifact.filename: artifact for artifact in artifacts}
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda artifact: artifact.resolve(), distinct.values()))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    import fcntl  # noqa: PLC0415 - not on Windows, where only this fails

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Fetch into the folder that is named, or into the user's cache."""
    try:
        fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else cache_folder(os.environ))
    except (OSError, RuntimeError, ValueError) as error:  # requests' errors are OSErrors
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
