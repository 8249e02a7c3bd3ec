"""``python -m compose.fake_provider``: the fake provider as a child of a test or a benchmark.

``headrace fake-provider`` is the same for people; this one starts without loading any command, prints its port when
it listens, and ends with whoever holds its standard input.
"""

import argparse

import msgspec
import uvloop

from compose.fake_provider.behaviour import Behaviour
from compose.fake_provider.server import FakeServer, serve


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m compose.fake_provider", description="A fake embedding API.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dimensions", type=int, required=True)
    parser.add_argument("--behaviour", default="{}", help="JSON, as PUT /control takes it")
    options = parser.parse_args()
    behaviour = msgspec.json.decode(options.behaviour, type=Behaviour)
    server = FakeServer(dimensions=options.dimensions, port=options.port, behaviour=behaviour)
    uvloop.run(serve(server, announce=lambda port: print(port, flush=True), with_parent=True))  # noqa: T201 - to the parent


if __name__ == "__main__":
    main()
