"""Some calls to the embedding API are never answered.

Invariant: a call has one total budget of time; the texts of one that has used it up are sent again, the other calls
go on meanwhile, and nothing is lost, dead-lettered or paid twice.
Fault: six calls hang, far longer than `timeout_s`.
"""

from compose.fake_provider.behaviour import Behaviour, Fault
from tests.scenarios.harness import Harness, document

HANGING = 6


async def test_a_call_that_hangs_ends_by_itself_and_is_made_again(harness: Harness) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="hang", calls=HANGING),)))
    await harness.publish(map(document, range(200)))
    await harness.catch_up(provider__timeout_s=1, provider__max_attempts=1, provider__min_blame_s=0)
    assert (await harness.provider.stats()).faults == {"hang": HANGING}
    await harness.assert_nothing_lost()
    assert await harness.embedded_again() == set()
