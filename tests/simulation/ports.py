"""How does a worker reach the world? By ports that fail as the plan says, and are closed to a process that is dead."""

from collections.abc import Callable, Collection, Mapping, Sequence

from consumers.providers.protocol import Reply
from schemas.dead_letters import DeadLetter
from schemas.errors import RowRejected
from schemas.index import Candidate, Change, DocumentKey, Outcome, Standing
from tests.simulation.plan import REFUSED
from tests.simulation.world import World


class StorePort:
    """The database as one worker reaches it."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def look_up(self, candidates: Sequence[Candidate], content_hash: Callable[[int], bytes]) -> list[Standing]:
        await self._world.ask_store("look-up")
        standings = await self._world.store.look_up(candidates, content_hash)
        self._world.truth.superseded(zip(candidates, standings, strict=True))
        return standings

    async def stored_hashes(self, keys: Sequence[DocumentKey]) -> Mapping[DocumentKey, frozenset[bytes]]:
        await self._world.ask_store("hashes")
        return await self._world.store.stored_hashes(keys)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        world = self._world
        await world.ask_store("write")
        if any(change.title == REFUSED for change in changes):
            raise RowRejected("a value that the database refuses", sqlstate="22021")
        before = world.store._rows
        outcomes = await world.store.write(changes)
        world.say(
            "wrote", [(change.kind.name, change.id, o.value) for change, o in zip(changes, outcomes, strict=True)]
        )
        world.truth.rows_changed(before, world.store._rows)
        world.truth.superseded(zip(changes, outcomes, strict=True))
        await world.answer_store("write")
        return outcomes

    async def stage(self, vectors: Mapping[bytes, bytes]) -> None:
        await self._world.ask_store("stage")
        self._world.met["staged"] += 1
        await self._world.store.stage(vectors)
        await self._world.answer_store("stage")

    async def staged(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        await self._world.ask_store("staged")
        found = await self._world.store.staged(hashes)
        self._world.met["staged before"] += bool(found)
        return found

    async def advance_positions(
        self, group: str, topic: str, positions: Mapping[int, int], known: Mapping[int, int], server: str
    ) -> bool:
        await self._world.ask_store("positions")
        saved = await self._world.store.advance_positions(group, topic, positions, known, server)
        if saved:
            self._world.told_the_index(positions)
        await self._world.answer_store("positions")
        return saved

    async def server(self) -> str:
        await self._world.ask_store("positions")
        return await self._world.store.server()

    async def load_positions(self, group: str, topic: str) -> dict[int, int]:
        await self._world.ask_store("positions")
        return await self._world.store.load_positions(group, topic)

    async def has_documents(self) -> bool:
        await self._world.ask_store("documents")
        return await self._world.store.has_documents()

    def __getattr__(self, name: str) -> object:
        """Leave what a pipeline never asks for to the store in memory."""
        return getattr(self._world.store, name)


class ProviderPort:
    """The provider as one worker reaches it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.model = "memory"

    async def embed(self, texts: Sequence[str]) -> Reply:
        world = self._world
        await world.pass_time()
        refused = world.refusal(texts)
        world.say("embed", len(texts), type(refused).__name__ if refused else "well", texts)
        await world.pass_time()
        if refused is not None:
            raise refused
        world.embedded.update(texts)
        reply = await world.provider.embed(texts)
        missing = {i for i, text in enumerate(texts) if len(texts) > 1 and world.misses_a_vector(text)}
        vectors = [None if i in missing else vector for i, vector in enumerate(reply.vectors)]
        return Reply(vectors, reply.tokens, {**dict(reply.faults), **dict.fromkeys(missing, "not finite")})

    async def aclose(self) -> None:
        """Close nothing."""


class LettersPort:
    """The dead-letter topic as one worker reaches it."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def send(self, letter: DeadLetter) -> None:
        await self._world.take_letter(letter)
