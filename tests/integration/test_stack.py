"""The fixtures themselves: what every other integration test takes for granted."""

import asyncio
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from compose.embedded.endpoints import Endpoints
from tests.stack.databases import Databases
from tests.stack.parts import AnyStack
from tests.stack.topics import Topics


async def _databases(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
    finally:
        await connection.close()


async def test_a_database_is_empty_and_knows_vectors(database: str) -> None:
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT '[1,2]'::vector <=> '[1,2]'::vector") == 0
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await connection.execute("CREATE TABLE only_here (id int)")
    await connection.close()


async def test_a_database_is_dropped_with_its_test_though_somebody_is_connected(
    stack: Endpoints, databases: Databases
) -> None:
    dsn = await databases.create()
    connection = await asyncpg.connect(dsn)
    before = await _databases(stack.dsn)
    await databases.drop(dsn)
    after = await _databases(stack.dsn)
    connection.terminate()
    assert before - after == {dsn.rpartition("/")[2]}


async def test_a_topic_has_its_partitions_and_timestamps_of_the_broker(stack: Endpoints, topics: Topics) -> None:
    name = await topics.create("raw", partitions=3)
    async with AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers) as producer:
        sent = await producer.send_and_wait(name, b"hello", timestamp_ms=1, partition=2)
        assert await producer.partitions_for(name) == {0, 1, 2}
    assert sent.timestamp_type == 1
    assert sent.timestamp > 1


async def test_topics_of_a_test_are_deleted_with_it_and_no_others(stack: Endpoints, topics: Topics) -> None:
    mine = Topics(stack.bootstrap_servers)
    deleted, kept = await mine.create("raw"), await topics.create("raw")
    await mine.delete()
    async with AIOKafkaConsumer(bootstrap_servers=stack.bootstrap_servers) as consumer:
        async with asyncio.timeout(20):
            while deleted in await consumer.topics():
                await asyncio.sleep(0.1)
        assert kept in await consumer.topics()


async def test_a_private_stack_survives_kill_9_of_its_database_with_its_data(private_stack: AnyStack) -> None:
    dsn = private_stack.endpoints.dsn
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await private_stack.postgres.kill()
    connection.terminate()
    await private_stack.postgres.start()
    assert private_stack.endpoints.dsn == dsn
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()


def test_the_folder_of_a_test_is_empty(folder: Path) -> None:
    assert list(folder.iterdir()) == []
