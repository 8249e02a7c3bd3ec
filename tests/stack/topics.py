"""How does each test get topics of its own?"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NoError, for_code


class Topics:
    """Topics whose names begin alike and occur once; all that begin so are deleted with the test.

    ``name`` is for a topic that the program itself creates.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._prefix = f"test-{uuid4().hex[:12]}."

    def name(self, word: str = "docs") -> str:
        """Return the name of *word* in this test, without creating it."""
        return self._prefix + word

    async def create(
        self, word: str = "docs", *, partitions: int = 4, settings: Mapping[str, str] | None = None
    ) -> str:
        """Create a topic with LogAppendTime, unless *settings* say otherwise; return its name."""
        configs = {"message.timestamp.type": "LogAppendTime", **(settings or {})}
        async with self._admin() as admin:
            answer = await admin.create_topics([NewTopic(self.name(word), partitions, 1, topic_configs=configs)])
        for name, code, message in answer.topic_errors:
            if (error := for_code(code)) is not NoError:
                raise error(f"topic {name}: {message}")
        return self.name(word)

    async def delete(self) -> None:
        """Delete all topics of this test."""
        async with self._admin() as admin:
            ours = [name for name in await admin.list_topics() if name.startswith(self._prefix)]
            if ours:
                await admin.delete_topics(ours)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=20_000)
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()
