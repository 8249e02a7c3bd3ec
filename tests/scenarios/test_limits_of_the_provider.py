"""A provider that takes less in a call than is configured.

Invariant: the calls become as small as it takes them, once for the life of the process; nothing is dead-lettered and
no text is paid twice.
Fault: 413 above 5 texts; 400 `max_tokens_per_request` above 40 tokens.
"""

import pytest

from compose.fake_provider.behaviour import Behaviour, Fault
from tests.scenarios.harness import Harness, document


@pytest.mark.parametrize(
    "fault",
    [Fault(kind="body-too-large", above_items=5), Fault(kind="too-many-tokens", above_tokens=40)],
    ids=["items", "tokens"],
)
async def test_calls_become_as_small_as_the_provider_takes_them(harness: Harness, fault: Fault) -> None:
    await harness.provider.set(Behaviour(faults=(fault,)))
    await harness.publish(document(n) for n in range(400))
    await harness.catch_up(provider__max_items=64)
    await harness.assert_nothing_lost()
    stats = await harness.provider.stats()
    refused = sum(count for status, count in stats.statuses.items() if status != "200")
    assert refused < 40, f"{refused} of {stats.calls} calls were refused: nothing was learned"
    assert await harness.provider.paid_more_than(1) == {}
