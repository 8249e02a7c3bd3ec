"""What every provider promises, whatever stands behind it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

import pytest

from compose.fake_provider.behaviour import Behaviour, Fault
from compose.fake_provider.process import FakeProvider
from consumers.providers.deterministic import vector_of
from consumers.providers.memory import MemoryProvider
from consumers.providers.openai import OpenAIProvider
from consumers.providers.protocol import Provider
from schemas.errors import (
    HeadraceError,
    InputRejected,
    MalformedReply,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
)
from schemas.settings import ProviderSettings

DIMENSIONS = 24
TEXTS = ["a mill", "a wheel", "a mill", "größer", "🌊", "x" * 5_000]


class Rig(Protocol):
    """A provider, and a way to make what stands behind it fail."""

    provider: Provider

    async def refuse(self, kind: str) -> None:
        """Refuse every call from now on."""

    async def spoil(self, kind: str, containing: str) -> None:
        """Return unusable vectors for texts with *containing* in them."""

    async def paid(self) -> int:
        """Return how many texts were embedded."""


class OpenAIRig:
    """The real client against the fake server."""

    def __init__(self, fake: FakeProvider) -> None:
        self._fake = fake
        settings = ProviderSettings(base_url=fake.base_url, model="m", dimensions=DIMENSIONS, timeout_s=20)
        self.provider: Provider = OpenAIProvider(settings)

    async def refuse(self, kind: str) -> None:
        wait = 2.0 if kind == "rate-limited" else None
        await self._fake.set(Behaviour(faults=(Fault(kind=kind, retry_after=wait),)))  # type: ignore[arg-type] # a test names it

    async def spoil(self, kind: str, containing: str) -> None:
        await self._fake.set(Behaviour(faults=(Fault(kind=kind, containing=containing),)))  # type: ignore[arg-type] # the same

    async def paid(self) -> int:
        return (await self._fake.stats()).paid


class MemoryRig:
    """The provider in memory."""

    ERRORS: dict[str, HeadraceError] = {  # noqa: RUF012 - never changed
        "rate-limited": RateLimited("slower", status=429, retry_after=2.0),
        "server-error": ProviderUnavailable("away", status=500),
        "bad-request": InputRejected("no", status=400),
        "body-too-large": InputRejected("too much", status=413, oversized=True),
        "unauthorized": ProviderMisconfigured("no key"),
        "wrong-shape": MalformedReply("no vectors"),
    }

    def __init__(self) -> None:
        self._memory = MemoryProvider(DIMENSIONS, model="m")
        self.provider: Provider = self._memory

    async def refuse(self, kind: str) -> None:
        self._memory.refuse = lambda _: self.ERRORS[kind]

    async def spoil(self, kind: str, containing: str) -> None:
        self._memory.spoil = lambda text: kind if containing in text else None

    async def paid(self) -> int:
        return self._memory.paid.total()


@pytest.fixture(scope="module")
def server() -> Iterator[FakeProvider]:
    fake = FakeProvider(dimensions=DIMENSIONS)
    asyncio.run(fake.start())
    yield fake
    asyncio.run(fake.stop())


@pytest.fixture(params=["openai", "memory"])
async def rig(request: pytest.FixtureRequest, server: FakeProvider) -> AsyncIterator[Rig]:
    await server.reset()
    rig: Rig = OpenAIRig(server) if request.param == "openai" else MemoryRig()
    yield rig
    await rig.provider.aclose()


def expected(texts: Sequence[str]) -> list[bytes]:
    return [vector_of(text, DIMENSIONS) for text in texts]


async def test_every_text_gets_its_own_vector_in_order(rig: Rig) -> None:
    reply = await rig.provider.embed(TEXTS)
    assert list(reply.vectors) == expected(TEXTS)
    assert not reply.faults


async def test_a_vector_is_packed_big_endian_float32(rig: Rig) -> None:
    reply = await rig.provider.embed(["a mill"])
    assert reply.vectors[0] is not None
    assert len(reply.vectors[0]) == 4 * DIMENSIONS


async def test_any_sequence_of_texts_will_do(rig: Rig) -> None:
    assert list((await rig.provider.embed(tuple(TEXTS))).vectors) == expected(TEXTS)


async def test_tokens_are_counted(rig: Rig) -> None:
    assert (await rig.provider.embed(["four" * 25])).tokens == 25


async def test_no_texts_cost_nothing(rig: Rig) -> None:
    reply = await rig.provider.embed([])
    assert (list(reply.vectors), reply.tokens, await rig.paid()) == ([], 0, 0)


async def test_many_calls_at_once_do_not_mix_their_vectors(rig: Rig) -> None:
    calls = [[f"{call}/{i}" for i in range(call + 1)] for call in range(20)]
    replies = await asyncio.gather(*(rig.provider.embed(texts) for texts in calls))
    assert [list(reply.vectors) for reply in replies] == [expected(texts) for texts in calls]


async def test_the_model_has_a_name(rig: Rig) -> None:
    assert rig.provider.model == "m"


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [
        ("rate-limited", RateLimited),
        ("server-error", ProviderUnavailable),
        ("bad-request", InputRejected),
        ("body-too-large", InputRejected),
        ("unauthorized", ProviderMisconfigured),
        ("wrong-shape", MalformedReply),
    ],
)
async def test_a_failure_is_one_of_ours(rig: Rig, kind: str, becomes: type[HeadraceError]) -> None:
    await rig.refuse(kind)
    with pytest.raises(becomes) as caught:
        await rig.provider.embed(TEXTS)
    assert type(caught.value) is becomes
    if isinstance(caught.value, InputRejected):
        assert caught.value.oversized is (kind == "body-too-large")
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after == 2.0


async def test_a_refused_call_pays_for_nothing(rig: Rig) -> None:
    await rig.refuse("bad-request")
    with pytest.raises(InputRejected):
        await rig.provider.embed(TEXTS)
    assert await rig.paid() == 0


@pytest.mark.parametrize("kind", ["nan", "zero", "short", "ragged"])
async def test_a_bad_vector_is_named_and_its_neighbours_are_kept(rig: Rig, kind: str) -> None:
    await rig.spoil(kind, "wheel")
    reply = await rig.provider.embed(TEXTS)
    assert list(reply.faults) == [1]
    assert list(reply.vectors) == [None if i == 1 else vector for i, vector in enumerate(expected(TEXTS))]


@pytest.mark.parametrize("kind", ["nan", "zero", "short", "ragged"])
async def test_a_bad_vector_is_named_also_when_its_text_is_alone(rig: Rig, kind: str) -> None:
    await rig.spoil(kind, "wheel")
    reply = await rig.provider.embed(["a wheel"])
    assert list(reply.faults) == [0]
    assert list(reply.vectors) == [None]


async def test_after_it_is_closed_a_provider_answers_with_an_error_of_ours(rig: Rig) -> None:
    await rig.provider.embed(["a mill"])
    await rig.provider.aclose()
    with pytest.raises(ProviderUnavailable):
        await rig.provider.embed(["a mill"])


async def test_a_provider_can_be_closed_twice_and_without_a_call(rig: Rig) -> None:
    await rig.provider.aclose()
    await rig.provider.aclose()
