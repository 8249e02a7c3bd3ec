"""``headrace fake-provider``: rehearse an outage."""

from typing import Annotated

import msgspec
import typer
import uvloop

from compose.fake_provider.behaviour import Behaviour, Fixed
from compose.fake_provider.server import HOST, FakeServer, serve
from schemas.errors import ConfigurationError

PORT = 8322


def fake_provider(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = HOST,
    dimensions: Annotated[int, typer.Option(min=1, help="Length of a vector.")] = 256,
    latency_ms: Annotated[float, typer.Option(min=0, help="How long every answer takes.")] = 0.0,
    behaviour: Annotated[
        str | None, typer.Option(metavar="JSON", help="How to behave from the start, as PUT /control takes it.")
    ] = None,
) -> None:
    """Run an embedding API that misbehaves as told, until Ctrl-C.

    It needs no model: a text's vector comes from its hash. It speaks OpenAI's shape and takes any model and key.

    Examples:
      headrace fake-provider --latency-ms 50
      curl -X PUT 127.0.0.1:8322/control -d '{"faults": [{"kind": "rate-limited", "seconds": 30, "retry-after": 2}]}'
      curl -X PUT 127.0.0.1:8322/control -d '{"faults": [{"kind": "bad-request", "containing": "poison"}]}'
      curl 127.0.0.1:8322/stats
    """
    server = FakeServer(
        dimensions=dimensions, host=host, port=port, behaviour=_behaviour(behaviour, latency_ms=latency_ms)
    )

    def announce(port: int) -> None:
        typer.echo(f"listening: HEADRACE_PROVIDER__BASE_URL=http://{host}:{port}/v1 (Ctrl-C stops)")

    try:
        uvloop.run(serve(server, announce=announce))
    except OSError as error:
        raise ConfigurationError(f"can not listen on {host}:{port}: {error.strerror or error}") from error


def _behaviour(told: str | None, *, latency_ms: float) -> Behaviour:
    if told is None:
        return Behaviour(latency=Fixed(latency_ms))
    try:
        behaviour = msgspec.json.decode(told, type=Behaviour)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"--behaviour: {error}") from error
    return msgspec.structs.replace(behaviour, latency=Fixed(latency_ms)) if latency_ms else behaviour
