"""The embedding API has no usable vector for one text, and good ones for all others of its call.

Invariant: the good vectors are stored and not paid again; the text is tried once alone and then dead-lettered.
Fault: the vector of one text is not a number, zero, or of the wrong length, whenever it is asked for.
"""

import pytest

from compose.fake_provider.behaviour import Behaviour, Fault, VectorKind
from consumers.providers.deterministic import digest_of
from tests.scenarios.harness import Harness, document
from tests.scenarios.operations import assert_only_these_died, poison


@pytest.mark.parametrize("kind", ["nan", "infinite", "zero", "short", "ragged"])
async def test_a_text_without_a_usable_vector_costs_its_neighbours_nothing(harness: Harness, kind: VectorKind) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind=kind, containing="poison"),)))
    await harness.publish([*(document(n) for n in range(13)), poison(13), *(document(n) for n in range(14, 32))])
    await harness.catch_up(provider__max_items=32)
    await assert_only_these_died(harness, (b"doc-13", b"embed", b"bad-vector"))
    spoilt = document(13, "poison").text
    assert await harness.provider.paid_more_than(1) == {digest_of(spoilt).hex(): 2}
