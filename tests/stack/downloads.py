"""What has to be downloaded before a test may ask for the embedded stack?"""

import os
import subprocess
import sys
from collections.abc import Callable

from compose.embedded.jars import cache_folder, jar_folder


def fetch_kafka(say: Callable[[str], None]) -> None:
    """Fetch Kafka's jars once, however long that takes; the stack itself tells why where it fails."""
    cache = cache_folder(os.environ)
    if not jar_folder(cache).exists():
        say("downloading Kafka, 42 MB, once")
        subprocess.run([sys.executable, "-m", "compose.embedded.jars", str(cache)], check=False)  # noqa: S603 - our own words
