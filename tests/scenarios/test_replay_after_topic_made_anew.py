"""The dead-letter topic is deleted and made anew, while what became of its dead letters is still known.

Invariant: a new dead letter at the place of an old one does not inherit its fate: it is listed and replayed.
Fault: the topic is deleted and created again between two failures that lie at the same partition and offset.
"""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from producers.topics import ensure_topics
from tests.scenarios.harness import Harness
from tests.scenarios.replaying import assert_all_stored, die, dlq, long, replay


async def _delete(harness: Harness, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=harness.settings().kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()


async def test_a_dead_letter_in_a_new_topic_inherits_no_fate(harness: Harness) -> None:
    await die(harness, [long(1)], partition=0)
    [old] = await harness.log.dead_letters()
    assert (await replay(harness))["done"] == {"replayed": 1}
    await harness.catch_up()
    await _delete(harness, harness.log.dlq_topic)

    async def made_anew() -> bool:
        try:
            made = await ensure_topics(harness.settings())
        except KafkaError:
            return False  # it is still being deleted
        return any((one.name, one.outcome) == (harness.log.dlq_topic, "created") for one in made)

    await harness.wait_until(made_anew, "the topic is made anew")
    await die(harness, [long(2)], partition=0)
    [new] = await harness.log.dead_letters()
    assert (new.partition, new.offset) == (old.partition, old.offset)
    assert [one["key"] for one in await dlq(harness, "list")] == ["doc-2"]
    assert (await replay(harness))["done"] == {"replayed": 1}
    await assert_all_stored(harness)
