"""What does an operator do in a scenario? Give orders to the workers, change a topic, look at dead letters."""

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, for_code

from consumers.stores.pgvector import PgVectorStore
from producers.documents import record_of
from schemas.dead_letters import Record
from schemas.headers import DLQ_PREFIX
from schemas.orders import NO, YES, pause_of, resume_of
from tests.scenarios.harness import Harness, document
from tests.scenarios.log import Sent


async def resume(harness: Harness) -> None:
    """Order `headrace resume`."""
    settings = harness.settings()
    async with PgVectorStore(settings.store) as store:
        await store.give_orders({pause_of(settings.group): NO, resume_of(settings.group): YES}, "a scenario")


async def change_topic(harness: Harness, topic: str, settings: Mapping[str, str]) -> None:
    """Give *topic* these settings and no others."""
    servers = harness.settings().kafka.bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=20_000)
    try:
        await admin.start()
        [answer] = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(settings))])
    finally:
        await admin.close()
    for code, message, *_ in answer.resources:
        if (error := for_code(code)) is not NoError:
            raise error(f"topic {topic}: {message}")


def poison(number: int) -> Record:
    """Return a document of which nothing is expected; its text holds the word "poison"."""
    return record_of(document(number, "poison"))


def verdict(letter: Sent) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Return the key of a dead letter, and the stage and the code that it was given up with."""
    told = dict(letter.headers)
    return letter.key, told[DLQ_PREFIX + "stage"], told[DLQ_PREFIX + "code"]


async def assert_only_these_died(harness: Harness, *deaths: tuple[bytes, bytes, bytes]) -> None:
    """Assert that lag is 0, that all that is expected is stored, and what the dead letters are: key, stage, code."""
    await harness.wait_until(harness.caught_up, "lag is 0")
    assert sorted(map(verdict, await harness.log.dead_letters())) == sorted(deaths)
    assert await harness.index.chunks() == harness.expected
