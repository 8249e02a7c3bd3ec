"""Replies of the embedding API can not be read, or hold too few vectors.

Invariant: no vector of such a reply is stored; the call is made once more and then split, so that a text which spoils
every reply is dead-lettered alone, after as many attempts as configured, and its neighbours are stored.
Fault: five replies in a row are cut in the middle of their JSON; every reply to a call with one text lacks a vector.
"""

from compose.fake_provider.behaviour import Behaviour, Fault
from tests.scenarios.harness import Harness, document
from tests.scenarios.operations import assert_only_these_died, poison

SPOILT = 5


async def test_replies_that_can_not_be_read_are_asked_for_again(harness: Harness) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="truncated-json", calls=SPOILT),)))
    await harness.publish(document(n) for n in range(100))
    await harness.catch_up()
    await harness.assert_nothing_lost()
    stats = await harness.provider.stats()
    assert stats.faults == {"truncated-json": SPOILT}
    # The provider bills a reply that nobody can read.
    assert len(await harness.embedded_again()) <= SPOILT * harness.settings().provider.max_items  # type: ignore[operator] # it is set


async def test_a_text_that_spoils_every_reply_is_given_up_alone(harness: Harness) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="missing-vector", containing="poison"),)))
    await harness.publish([*(document(n) for n in range(30)), poison(30), *(document(n) for n in range(31, 50))])
    await harness.catch_up(provider__max_attempts=3, provider__min_blame_s=2)
    await assert_only_these_died(harness, (b"doc-30", b"embed", b"attempts-exhausted"))
