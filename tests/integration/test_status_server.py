"""``/health/live``, ``/health/ready``, ``/status`` and ``/metrics`` over a real socket."""

import aiohttp
import msgspec
import pytest

from compose.embedded.ports import pick
from compose.http.server import StatusServer
from consumers.telemetry.metrics import Metrics
from schemas.errors import ConfigurationError
from schemas.settings import HttpSettings, TelemetrySettings
from schemas.status import PartitionStatus, State, Status


def status(state: State, reason: str = "because") -> Status:
    return Status(
        state=state,
        reason=reason,
        since="2026-01-31T12:00:00.000Z",
        version="1",
        index="docs",
        group="headrace-docs",
        instance="here/1",
        topic="docs.raw",
        partitions=(PartitionStatus(partition=0, position=3, end=10, lag=7),),
    )


async def get(port: int, path: str) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, response.content_type, await response.read()


@pytest.mark.parametrize("state", State)
async def test_only_stuck_is_not_alive_and_only_what_can_take_documents_is_ready(state: State) -> None:
    port = pick()
    async with StatusServer(HttpSettings(port=port), lambda: status(state), lambda: b""):
        live, ready = await get(port, "/health/live"), await get(port, "/health/ready")
    assert live[0] == (503 if state is State.STUCK else 200)
    assert ready[0] == (503 if state in (State.STARTING, State.BLOCKED, State.DRAINING) else 200)
    told = msgspec.json.decode(ready[2])
    assert (told["state"], told["reason"]) == (state.value, "because")


async def test_status_is_asked_anew_each_time_and_can_be_read_back() -> None:
    port, now = pick(), [status(State.STARTING)]
    async with StatusServer(HttpSettings(port=port), lambda: now[0], lambda: b""):
        assert msgspec.json.decode((await get(port, "/status"))[2], type=Status) == status(State.STARTING)
        now[0] = status(State.RUNNING)
        code, kind, body = await get(port, "/status")
    assert (code, kind) == (200, "application/json")
    assert msgspec.json.decode(body, type=Status) == status(State.RUNNING)


async def test_metrics_are_prometheus_text() -> None:
    port, metrics = pick(), Metrics(TelemetrySettings(), lambda: status(State.RUNNING), "here")
    async with StatusServer(HttpSettings(port=port), lambda: status(State.RUNNING), metrics.exposition):
        code, kind, body = await get(port, "/metrics")
    metrics.close()
    assert (code, kind) == (200, "text/plain")
    assert b'headrace_lag{partition="0"} 7.0' in body
    assert b"process_cpu_seconds_total" in body


async def test_a_port_in_use_is_refused_with_what_to_do() -> None:
    port = pick()
    async with StatusServer(HttpSettings(port=port), lambda: status(State.RUNNING), lambda: b""):
        with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is in use.*http.port"):
            async with StatusServer(HttpSettings(port=port), lambda: status(State.RUNNING), lambda: b""):
                pass
        assert (await get(port, "/health/live"))[0] == 200, "the first goes on"


async def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no address of this machine"):
        async with StatusServer(HttpSettings(host="192.0.2.1", port=pick()), lambda: status(State.IDLE), lambda: b""):
            pass


async def test_port_0_is_off_and_a_closed_server_frees_its_port() -> None:
    off = StatusServer(HttpSettings(port=0), lambda: status(State.IDLE), lambda: b"")
    async with off:
        assert off.url is None
    port = pick()
    for _ in range(2):
        async with StatusServer(HttpSettings(port=port), lambda: status(State.IDLE), lambda: b"") as server:
            assert server.url == f"http://127.0.0.1:{port}"
