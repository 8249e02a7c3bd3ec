"""Where are Kafka's jars? Fetched once, by a process of its own: ``python -m compose.embedded.jars FOLDER``.

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


def fetch(cache: Path) -> None:
    """Make the jar folder, unless it is there.

    A half-made one has another name, and a private Maven repository, so that an interrupted download is never taken
    for a jar. Others that want the same wait.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / f"{SET_NAME}.lock"):
        if jar_folder(cache).exists():
            return
        draft = cache / f"{SET_NAME}.partial"
        shutil.rmtree(draft, ignore_errors=True)
        os.environ["M2_REPO"] = str(draft / "repository")
        jars = draft / "jars"
        jars.mkdir(parents=True)
        for jar in _resolve():
            shutil.copyfile(jar, jars / jar.name)
        jars.rename(jar_folder(cache))
        shutil.rmtree(draft)


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


if __name__ == "__main__":
    try:
        fetch(Path(sys.argv[1]))
    except ImportError:
        sys.exit("jgo is missing")
    except (OSError, RuntimeError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
