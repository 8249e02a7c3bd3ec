"""Kafka is killed with -9 in mid-load and started again.

Invariant: the worker lives, joins its group again by itself, and goes on; nothing is lost and nothing is
dead-lettered; what is stored is not embedded again, though its commit was lost.
Fault: kill -9 of the only broker while documents are on their way; it needs some ten seconds to answer again.
"""

from compose.fake_provider.behaviour import Behaviour, Fixed
from consumers.providers.deterministic import digest_of
from tests.scenarios.harness import Harness, document
from tests.stack.parts import AnyStack


async def test_a_worker_outlives_its_broker_and_goes_on(private_stack: AnyStack, private_harness: Harness) -> None:
    harness = private_harness
    await harness.provider.set(Behaviour(latency=Fixed(ms=100)))
    await harness.publish(map(document, range(600)))
    worker = harness.worker()
    await harness.wait_until(harness.log.committed, "the worker has committed")
    await private_stack.kafka.kill()
    stored = {digest_of(text).hex() for text in await harness.index.texts()}
    await private_stack.kafka.start()
    harness.mended()
    await harness.publish(document(n, "after the broker came back") for n in range(20))
    await harness.wait_until(harness.caught_up, "lag is 0", within=90)

    await harness.assert_nothing_lost()
    assert not stored & (await harness.provider.paid_more_than(1)).keys()
    assert worker.returncode is None
    assert await worker.stop() == 0
