"""The embedding API answers in another order than it was asked, or does not say which vector belongs to which text.

Invariant: vector i is text i's, by ``index`` where the reply has it, by place where no item has it.
Fault: replies whose items are shuffled; replies without any ``index``.
"""

import pytest

from compose.fake_provider.behaviour import Behaviour, Fault, ReplyKind
from tests.scenarios.harness import Harness, document


@pytest.mark.parametrize("kind", ["shuffled", "no-index"])
async def test_every_stored_vector_is_that_of_its_text(harness: Harness, kind: ReplyKind) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind=kind),)))
    await harness.publish(map(document, range(120)))
    await harness.catch_up()
    await harness.assert_nothing_lost()
    stats = await harness.provider.stats()
    assert stats.faults == {kind: stats.calls}
    assert stats.repeated == 0
    assert stats.calls <= 120 // 4, "calls of one text can not be out of order"
