"""The OpenAI client against a real server that misbehaves in every way it knows."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import msgspec
import psutil
import pytest

from compose.fake_provider.behaviour import Behaviour, Fault, Fixed, Lognormal, Uniform
from compose.fake_provider.process import ROOT, FakeProvider
from compose.fake_provider.refusals import REFUSALS
from consumers.providers.deterministic import vector_of
from consumers.providers.openai import OpenAIProvider
from schemas.errors import (
    HeadraceError,
    InputRejected,
    MalformedReply,
    ProviderError,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
)
from schemas.settings import ProviderSettings

DIMENSIONS = 12
TEXTS = [f"text {i}" for i in range(8)]
VECTORS = [vector_of(text, DIMENSIONS) for text in TEXTS]
KEY = "sk-this-must-appear-nowhere"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeProvider]:
    fake = FakeProvider(dimensions=DIMENSIONS)
    asyncio.run(fake.start())
    yield fake
    asyncio.run(fake.stop())


@pytest.fixture
async def fake(server: FakeProvider) -> FakeProvider:
    await server.reset()
    return server


def settings(fake: FakeProvider, **changed: object) -> ProviderSettings:
    told: dict[str, object] = {"base_url": fake.base_url, "model": "m", "dimensions": DIMENSIONS, "timeout_s": 10}
    return ProviderSettings.model_validate(told | {"api_key": KEY} | changed)


@pytest.fixture
async def provider(fake: FakeProvider) -> AsyncIterator[OpenAIProvider]:
    async with OpenAIProvider(settings(fake)) as provider:
        yield provider


def faults(*faults: Fault) -> Behaviour:
    return Behaviour(faults=faults)


async def embedded(provider: OpenAIProvider, texts: list[str] | None = None) -> list[bytes | None]:
    return list((await provider.embed(TEXTS if texts is None else texts)).vectors)


@pytest.mark.parametrize(
    ("fault", "becomes"),
    [
        (Fault("rate-limited"), RateLimited),
        (Fault("insufficient-quota"), ProviderMisconfigured),
        (Fault("unavailable"), ProviderUnavailable),
        (Fault("unavailable", retry_after=3), RateLimited),
        (Fault("server-error"), ProviderUnavailable),
        (Fault("server-error", status=529), ProviderUnavailable),
        (Fault("backend-failed"), ProviderUnavailable),
        (Fault("timed-out"), ProviderUnavailable),
        (Fault("bad-request"), InputRejected),
        (Fault("unprocessable"), InputRejected),
        (Fault("batch-too-large"), InputRejected),
        (Fault("body-too-large"), InputRejected),
        (Fault("too-many-tokens"), InputRejected),
        (Fault("unauthorized"), ProviderMisconfigured),
        (Fault("forbidden"), ProviderMisconfigured),
        (Fault("no-balance"), ProviderMisconfigured),
        (Fault("unknown-model"), ProviderMisconfigured),
        (Fault("moved"), ProviderMisconfigured),
        (Fault("reset"), ProviderUnavailable),
        (Fault("cut"), ProviderUnavailable),
        (Fault("short"), ProviderMisconfigured),
        (Fault("ragged"), ProviderMisconfigured),
        (Fault("mixed-index"), MalformedReply),
        (Fault("repeated-index"), MalformedReply),
        (Fault("index-out-of-range"), MalformedReply),
        (Fault("missing-vector"), MalformedReply),
        (Fault("extra-vector"), MalformedReply),
        (Fault("truncated-json"), MalformedReply),
        (Fault("wrong-shape"), MalformedReply),
        (Fault("not-json"), MalformedReply),
        (Fault("error-in-success"), ProviderUnavailable),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else value.__name__,
)
async def test_a_fault_is_blamed_rightly_tells_no_key_and_leaves_the_client_usable(
    fake: FakeProvider, provider: OpenAIProvider, fault: Fault, becomes: type[HeadraceError]
) -> None:
    await fake.set(faults(fault))
    with pytest.raises(HeadraceError) as caught:
        await provider.embed(TEXTS)
    assert type(caught.value) is becomes
    if fault.kind in REFUSALS:
        assert f"HTTP {fault.status or REFUSALS[fault.kind].status}" in str(caught.value)
    assert_without_key(caught.value)
    await fake.set(Behaviour())
    assert await embedded(provider) == VECTORS


def assert_without_key(error: BaseException) -> None:
    """Look where an error tracker looks: causes, contexts, and the local variables of every frame of ours."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = "".join(told.format())
    ours = frames[frames.index("openai.py") :]
    assert KEY not in ours
    seen: BaseException | None = error
    while seen is not None:
        assert KEY not in repr(seen)
        assert KEY not in repr(seen.__dict__)
        assert not isinstance(seen, aiohttp.ClientError)
        seen = seen.__cause__ or seen.__context__


@pytest.mark.parametrize("kind", ["batch-too-large", "body-too-large", "too-many-tokens", "bad-request"])
async def test_only_a_complaint_of_size_says_oversized(fake: FakeProvider, provider: OpenAIProvider, kind: str) -> None:
    await fake.set(faults(Fault(kind)))  # type: ignore[arg-type] # one of the kinds
    with pytest.raises(InputRejected) as caught:
        await provider.embed(TEXTS)
    assert caught.value.oversized is (kind != "bad-request")


@pytest.mark.parametrize("kind", ["shuffled", "no-index", "floats", "no-usage"])
async def test_an_odd_but_clear_reply_is_understood(fake: FakeProvider, provider: OpenAIProvider, kind: str) -> None:
    await fake.set(faults(Fault(kind)))  # type: ignore[arg-type] # one of the kinds
    assert await embedded(provider) == VECTORS


@pytest.mark.parametrize("kind", ["nan", "infinite", "zero", "short", "ragged"])
@pytest.mark.parametrize("encoding", ["base64", "floats"])
async def test_one_bad_vector_costs_its_neighbours_nothing(
    fake: FakeProvider, provider: OpenAIProvider, kind: str, encoding: str
) -> None:
    also = (Fault("floats"),) if encoding == "floats" else ()
    await fake.set(faults(Fault(kind, containing="3"), *also))  # type: ignore[arg-type] # one of the kinds
    reply = await provider.embed(TEXTS)
    assert list(reply.faults) == [3]
    assert list(reply.vectors) == [None if i == 3 else vector for i, vector in enumerate(VECTORS)]
    assert (await fake.stats()).calls == 1


async def test_a_strange_text_alone_is_told_from_a_wrong_model_by_a_witness(
    fake: FakeProvider, provider: OpenAIProvider
) -> None:
    await fake.set(faults(Fault("short", containing="poison")))
    reply = await provider.embed(["poison"])
    assert list(reply.faults) == [0]
    await fake.set(faults(Fault("short")))
    with pytest.raises(ProviderMisconfigured, match="11 dimensions instead of 12"):
        await provider.embed(["anything"])


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (Fault("rate-limited", retry_after=7), 7.0),
        (Fault("rate-limited", retry_after=0.25), 0.25),
        (Fault("rate-limited", retry_after=0.25, retry_after_as="milliseconds"), 0.25),
        (Fault("rate-limited", retry_after="soon"), None),
        (Fault("rate-limited"), None),
        (Fault("server-error", retry_after=9), 9.0),
    ],
)
async def test_the_wait_that_a_reply_asks_for_is_passed_on(
    fake: FakeProvider, provider: OpenAIProvider, fault: Fault, seconds: float | None
) -> None:
    await fake.set(faults(fault))
    with pytest.raises(ProviderError) as caught:
        await provider.embed(TEXTS)
    assert caught.value.retry_after == seconds


async def test_a_date_to_come_back_at_becomes_a_wait(fake: FakeProvider, provider: OpenAIProvider) -> None:
    await fake.set(faults(Fault("rate-limited", retry_after=30, retry_after_as="date")))
    with pytest.raises(RateLimited) as caught:
        await provider.embed(TEXTS)
    assert caught.value.retry_after == pytest.approx(30, abs=2)


async def test_a_provider_that_says_it_is_worth_a_retry_is_believed(
    fake: FakeProvider, provider: OpenAIProvider
) -> None:
    await fake.set(faults(Fault("bad-request", should_retry=True)))
    with pytest.raises(ProviderUnavailable):
        await provider.embed(TEXTS)


@pytest.mark.parametrize("behaviour", [faults(Fault("hang")), Behaviour(latency=Fixed(60_000))])
async def test_a_call_ends_within_its_budget(fake: FakeProvider, behaviour: Behaviour) -> None:
    await fake.set(behaviour)
    started = time.monotonic()
    async with OpenAIProvider(settings(fake, timeout_s=0.3)) as provider:
        with pytest.raises(ProviderUnavailable, match=r"0\.3 s") as caught:
            await provider.embed(TEXTS)
    assert time.monotonic() - started < 5
    assert_without_key(caught.value)
    await until_idle(fake)


async def until_idle(fake: FakeProvider) -> None:
    async with asyncio.timeout(5):
        while (await fake.stats()).in_flight:
            await asyncio.sleep(0.02)


async def test_a_cancelled_call_is_cancelled_and_not_an_error(fake: FakeProvider, provider: OpenAIProvider) -> None:
    await fake.set(faults(Fault("hang")))
    call = asyncio.create_task(provider.embed(TEXTS))
    while not (await fake.stats()).in_flight:
        await asyncio.sleep(0.02)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until_idle(fake)


async def test_closing_ends_calls_that_wait_with_an_error_of_ours(fake: FakeProvider, provider: OpenAIProvider) -> None:
    await fake.set(faults(Fault("hang")))
    call = asyncio.create_task(provider.embed(TEXTS))
    while not (await fake.stats()).in_flight:
        await asyncio.sleep(0.02)
    await provider.aclose()
    with pytest.raises(ProviderUnavailable):
        await call


async def test_no_more_connections_are_used_than_configured(fake: FakeProvider) -> None:
    await fake.set(Behaviour(latency=Fixed(30)))
    async with OpenAIProvider(settings(fake, concurrency=3)) as provider:
        await asyncio.gather(*(provider.embed([f"{i}"]) for i in range(12)))
    assert (await fake.stats()).most_in_flight == 3


async def test_a_text_that_is_no_unicode_is_rejected_without_a_call(
    fake: FakeProvider, provider: OpenAIProvider
) -> None:
    with pytest.raises(InputRejected):
        await provider.embed(["fine", "\ud800"])
    assert (await fake.stats()).calls == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"base_url": None},
        {"model": None},
        {"base_url": "localhost:8000/v1"},
        {"base_url": "ftp://localhost/v1"},
        {"base_url": "http://[::1/v1"},
        {"base_url": "http://user:password@localhost/v1"},
        {"api_key": "sk-ä"},
        {"api_key": "sk-two\nlines"},
    ],
)
async def test_settings_that_can_not_work_are_refused_at_once(fake: FakeProvider, changed: dict[str, object]) -> None:
    with pytest.raises(ProviderMisconfigured) as caught:
        OpenAIProvider(settings(fake, **changed))
    assert "password@" not in str(caught.value)
    assert "two" not in str(caught.value)


async def test_a_reply_without_end_is_given_up(provider: OpenAIProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await embedded(provider) == VECTORS
    monkeypatch.setattr("consumers.providers.openai.ENVELOPE", 100)
    monkeypatch.setattr("consumers.providers.openai.BYTES_A_NUMBER", 1)
    with pytest.raises(MalformedReply, match="longer than 196 bytes"):
        await provider.embed(TEXTS)


async def test_nobody_at_the_address_is_an_outage(fake: FakeProvider) -> None:
    async with OpenAIProvider(settings(fake, base_url="http://127.0.0.1:9/v1")) as provider:
        with pytest.raises(ProviderUnavailable, match="127"):
            await provider.embed(TEXTS)
    async with OpenAIProvider(settings(fake, base_url="http://no-such-host.invalid/v1")) as provider:
        with pytest.raises(ProviderUnavailable, match="no-such-host"):
            await provider.embed(TEXTS)


async def test_a_slash_at_the_end_of_the_address_does_no_harm(fake: FakeProvider) -> None:
    async with OpenAIProvider(settings(fake, base_url=fake.base_url + "/")) as provider:
        assert await embedded(provider) == VECTORS


async def test_dimensions_are_asked_for_only_when_they_are_configured(fake: FakeProvider) -> None:
    async with OpenAIProvider(settings(fake, dimensions=None)) as provider:
        assert await embedded(provider) == VECTORS
    async with OpenAIProvider(settings(fake, dimensions=6)) as provider:
        assert await embedded(provider) == [vector_of(text, 6) for text in TEXTS]
    async with OpenAIProvider(settings(fake, dimensions=13)) as provider:
        with pytest.raises(ProviderMisconfigured, match="12 dimensions"):
            await provider.embed(TEXTS)


async def test_a_key_file_is_read_again_when_it_changes(fake: FakeProvider, tmp_path: Path) -> None:
    await fake.set(Behaviour(api_key="second"))
    file = tmp_path / "key"
    file.write_text("first\n")
    async with OpenAIProvider(settings(fake, api_key=None, api_key_file=str(file))) as provider:
        with pytest.raises(ProviderMisconfigured, match="401"):
            await provider.embed(TEXTS)
        file.write_text("second\n")
        assert await embedded(provider) == VECTORS
        file.write_text("\n")
        with pytest.raises(ProviderMisconfigured, match="empty"):
            await provider.embed(TEXTS)
        file.unlink()
        with pytest.raises(ProviderMisconfigured, match="can not be read"):
            await provider.embed(TEXTS)


async def test_the_key_goes_with_the_call_and_is_in_no_repr(fake: FakeProvider) -> None:
    await fake.set(Behaviour(api_key=KEY))
    async with OpenAIProvider(settings(fake, base_url=f"{fake.base_url}?token={KEY}")) as provider:
        assert await embedded(provider) == VECTORS
        assert KEY not in repr(provider)
        assert KEY not in repr(vars(provider)["_key"])


async def test_a_dead_server_is_an_outage_and_a_restarted_one_is_used_again() -> None:
    async with FakeProvider(dimensions=DIMENSIONS) as own, OpenAIProvider(settings(own)) as provider:
        assert await embedded(provider) == VECTORS
        await own.kill()
        with pytest.raises(ProviderUnavailable):
            await provider.embed(TEXTS)
        await own.restart()
        assert await embedded(provider) == VECTORS


async def test_refused_connections_are_an_outage_that_ends_by_itself(
    fake: FakeProvider, provider: OpenAIProvider
) -> None:
    assert await embedded(provider) == VECTORS
    await fake.set(Behaviour(refuse_connections_s=0.5))
    refused = 0
    async with asyncio.timeout(10):
        while True:
            try:
                assert await embedded(provider) == VECTORS
            except ProviderUnavailable:
                refused += 1
                await asyncio.sleep(0.02)
            else:
                if refused:
                    break
    assert refused > 1


async def test_faults_end_after_so_many_calls_or_so_long(fake: FakeProvider, provider: OpenAIProvider) -> None:
    await fake.set(faults(Fault("server-error", calls=2)))
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            await provider.embed(TEXTS)
    assert await embedded(provider) == VECTORS
    await fake.set(faults(Fault("server-error", seconds=0.3)))
    with pytest.raises(ProviderUnavailable):
        await provider.embed(TEXTS)
    await asyncio.sleep(0.35)
    assert await embedded(provider) == VECTORS


async def test_a_poison_strikes_the_calls_it_is_in(fake: FakeProvider, provider: OpenAIProvider) -> None:
    await fake.set(faults(Fault("bad-request", containing="poison"), Fault("server-error", containing="venom")))
    assert await embedded(provider) == VECTORS
    with pytest.raises(InputRejected):
        await provider.embed([*TEXTS, "a poison"])
    with pytest.raises(ProviderUnavailable):
        await provider.embed([*TEXTS, "a venom"])


async def test_limits_strike_only_above_them(fake: FakeProvider, provider: OpenAIProvider) -> None:
    await fake.set(faults(Fault("body-too-large", above_items=8), Fault("too-many-tokens", above_tokens=100)))
    assert await embedded(provider) == VECTORS
    with pytest.raises(InputRejected, match="413"):
        await provider.embed([*TEXTS, "one more"])
    with pytest.raises(InputRejected, match="max_tokens_per_request"):
        await provider.embed(["x" * 500])


async def test_too_many_calls_at_once_are_refused(fake: FakeProvider, provider: OpenAIProvider) -> None:
    await fake.set(Behaviour(latency=Fixed(200), faults=(Fault("rate-limited", above_concurrency=2),)))
    results = await asyncio.gather(*(provider.embed([f"{i}"]) for i in range(5)), return_exceptions=True)
    assert sum(isinstance(result, RateLimited) for result in results) == 3


async def test_too_many_calls_a_second_are_refused_until_it_is_over(
    fake: FakeProvider, provider: OpenAIProvider
) -> None:
    await fake.set(faults(Fault("rate-limited", above_rps=4)))
    results = await asyncio.gather(*(provider.embed([f"{i}"]) for i in range(7)), return_exceptions=True)
    assert sum(isinstance(result, RateLimited) for result in results) == 3
    await asyncio.sleep(1.1)
    assert await embedded(provider) == VECTORS


async def test_so_are_too_many_calls_over_a_longer_span(fake: FakeProvider, provider: OpenAIProvider) -> None:
    await fake.set(faults(Fault("rate-limited", above_rps=2, over_s=3)))
    results = await asyncio.gather(*(provider.embed([f"{i}"]) for i in range(9)), return_exceptions=True)
    assert sum(isinstance(result, RateLimited) for result in results) == 3


async def test_the_same_seed_gives_the_same_faults(fake: FakeProvider, provider: OpenAIProvider) -> None:
    async def fates(seed: int) -> list[bool]:
        await fake.set(Behaviour(seed=seed, faults=(Fault("server-error", probability=0.5),)))
        results = [await asyncio.gather(provider.embed(["x"]), return_exceptions=True) for _ in range(40)]
        return [isinstance(result, BaseException) for (result,) in results]

    first = await fates(1)
    assert await fates(1) == first
    assert await fates(2) != first
    assert 8 < sum(first) < 32


@pytest.mark.parametrize("latency", [Fixed(60), Uniform(60, 80), Lognormal(90, 0.01)])
async def test_an_answer_takes_as_long_as_it_is_told(
    fake: FakeProvider, provider: OpenAIProvider, latency: Fixed | Uniform | Lognormal
) -> None:
    await fake.set(Behaviour(latency=latency))
    started = time.monotonic()
    assert await embedded(provider) == VECTORS
    assert time.monotonic() - started >= 0.06


async def test_the_books_say_which_text_was_paid_for_twice(fake: FakeProvider, provider: OpenAIProvider) -> None:
    await provider.embed(["once", "twice"])
    await provider.embed(["twice"])
    await fake.set(faults(Fault("bad-request"), Fault("nan")))
    with pytest.raises(InputRejected):
        await provider.embed(["twice", "never"])
    stats = await fake.stats()
    assert (stats.calls, stats.texts, stats.paid, stats.repeated) == (3, 5, 3, 1)
    assert stats.statuses == {"200": 2, "400": 1}
    assert stats.faults == {"bad-request": 1}
    assert [await fake.paid(text) for text in ("once", "twice", "never")] == [1, 2, 0]
    assert list((await fake.paid_more_than(1)).values()) == [2]
    await fake.reset()
    assert (await fake.stats()).paid == 0


async def test_an_answer_that_nobody_waited_for_is_billed_all_the_same(fake: FakeProvider) -> None:
    await fake.set(Behaviour(latency=Fixed(60_000)))
    async with OpenAIProvider(settings(fake, timeout_s=0.2)) as provider:
        with pytest.raises(ProviderUnavailable):
            await provider.embed(["late"])
    assert await fake.paid("late") == 1


async def test_a_behaviour_that_makes_no_sense_is_refused_and_nothing_changes(fake: FakeProvider) -> None:
    await fake.set(faults(Fault("hang")))
    wrong = [b"{", b'{"fault": []}', b'{"faults": [{"kind": "bored"}]}', b'{"faults": [{"kind": "nan", "cals": 1}]}']
    async with aiohttp.ClientSession() as session:
        for body in wrong:
            async with session.put(f"http://127.0.0.1:{fake.port}/control", data=body) as response:
                assert response.status == 400
    assert await fake.behaviour() == faults(Fault("hang"))


async def test_other_clients_are_answered_in_openai_shape(fake: FakeProvider) -> None:
    async with aiohttp.ClientSession() as session:
        request = {"model": "m", "input": "a mill"}
        async with session.post(f"{fake.base_url}/embeddings", json=request) as response:
            reply = await response.json()
            assert reply["object"] == "list"
            assert reply["data"][0]["index"] == 0
            assert len(reply["data"][0]["embedding"]) == DIMENSIONS
        async with session.post(f"{fake.base_url}/embeddings", json={"model": "m", "input": []}) as response:
            assert response.status == 400
            assert (await response.json())["error"]["param"] == "input"
        async with session.post(f"{fake.base_url}/embeddings", data=b"{") as response:
            assert response.status == 400


PARENT = """
import asyncio, os, signal
from compose.fake_provider.process import FakeProvider
async def main():
    fake = FakeProvider(dimensions=4)
    await fake.start()
    print(fake.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def test_it_dies_with_its_parent_even_if_that_is_killed() -> None:
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == -signal.SIGKILL
    pid = int(ran.stdout)
    async with asyncio.timeout(10):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.05)


async def test_the_command_serves_until_it_is_told_to_stop() -> None:
    script = "from compose.cli.fake_provider import fake_provider; fake_provider(port=0, dimensions=4, latency_ms=1)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert process.stdout
    try:
        async with asyncio.timeout(30):
            said = (await process.stdout.readline()).decode()
            base_url = said.split("BASE_URL=")[1].split()[0]
            async with OpenAIProvider(ProviderSettings(base_url=base_url, model="m", dimensions=4)) as provider:
                assert await embedded(provider, ["a mill"]) == [vector_of("a mill", 4)]
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_every_kind_of_fault_can_be_written_and_read() -> None:
    behaviour = Behaviour(
        latency=Lognormal(50),
        faults=(Fault("rate-limited", retry_after=2, above_rps=10), Fault("nan", containing="x", calls=3)),
    )
    text = msgspec.json.encode(behaviour)
    assert msgspec.json.decode(text, type=Behaviour) == behaviour
    assert b'"retry-after":2' in text
