"""Texts that the provider refuses, one, five and fifty among ten thousand.

Invariant: k of them in calls of n texts cost at most 2 k log2(n) calls more than their neighbours alone would, a
known-good text for each at the most included; every neighbour is stored and paid once, and there is no flood.
Fault: 400 for each call that holds one of the texts.
"""

import math

import pytest

from compose.fake_provider.behaviour import Behaviour, Fault
from tests.scenarios.harness import Harness, document

TEXTS = 10_000
A_CALL = 256


@pytest.mark.parametrize("poisons", [1, 5, 50])
async def test_poisons_cost_few_calls(harness: Harness, poisons: int) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="bad-request", containing="poison"),)))
    every = TEXTS // poisons
    await harness.publish(document(n, "poison" if n % every == every // 2 else "") for n in range(TEXTS))
    await harness.catch_up(provider__max_items=A_CALL, provider__concurrency=8)
    assert len(await harness.log.dead_letters()) == poisons
    assert await harness.index.count() == TEXTS - poisons
    extra = (await harness.provider.stats()).calls - math.ceil(TEXTS / A_CALL)
    print(f"{poisons} poisons in {TEXTS} texts: {extra} calls more")  # noqa: T201 - a number for whoever asks with -s
    assert extra <= 2 * poisons * math.log2(TEXTS)
    assert await harness.embedded_again() == set()
