"""Which port can a part listen on, now and after a restart?"""

import random
import socket
from collections.abc import Collection

HOST = "127.0.0.1"
LOWEST, HIGHEST = 15_000, 32_000
"""Below the ports that the system hands out for outgoing connections (32,768 and up on Linux, 49,152 on macOS): one of
those could sit on a remembered port while its owner restarts."""


def is_free(port: int) -> bool:
    """Say whether a server could listen on *port* now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def pick(*, besides: Collection[int] = ()) -> int:
    """Return a free port, a random one, so that two stacks that start together hardly meet."""
    while True:
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - not a secret
        if port not in besides and is_free(port):
            return port


def answers(port: int) -> bool:
    """Say whether somebody accepts connections on *port*."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0
