"""A provider in memory, for tests and simulations: the same promises, no server and no waiting."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from consumers.providers.deterministic import vector_of
from consumers.providers.protocol import Reply
from schemas.errors import HeadraceError, ProviderUnavailable

BYTES_A_TOKEN = 4


def _healthy(texts: Sequence[str]) -> HeadraceError | None:  # noqa: ARG001  the shape of a script
    return None


def _sound(text: str) -> str | None:  # noqa: ARG001  the shape of a script
    return None


async def _at_once() -> None:
    return None


class MemoryProvider:
    """Answer with the vectors of ``vector_of``, unless a script says otherwise.

    ``refuse`` is asked before each call and returns the error to raise; ``spoil`` is asked for each text and returns
    why its vector is unusable; ``pause`` is awaited between the two. ``paid`` counts each text that was embedded.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        model: str = "memory",
        refuse: Callable[[Sequence[str]], HeadraceError | None] = _healthy,
        spoil: Callable[[str], str | None] = _sound,
        pause: Callable[[], Awaitable[None]] = _at_once,
    ) -> None:
        """Start healthy; the scripts can be replaced at any time."""
        self.dimensions = dimensions
        self.refuse = refuse
        self.spoil = spoil
        self.pause = pause
        self.paid: Counter[str] = Counter()
        self.calls = 0
        self._model = model
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemoryProvider {self._model}, {self.calls} calls>"

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    async def embed(self, texts: Sequence[str]) -> Reply:
        """Return one vector for each text, in order."""
        if not texts:
            return Reply((), 0)
        if self._closed:
            raise ProviderUnavailable("the provider is closed")
        self.calls += 1
        refused = self.refuse(texts)
        await self.pause()
        if refused is not None:
            raise refused
        self.paid.update(texts)
        faults = {i: fault for i, text in enumerate(texts) if (fault := self.spoil(text))}
        vectors = [None if i in faults else vector_of(text, self.dimensions) for i, text in enumerate(texts)]
        return Reply(vectors, sum(len(text.encode()) for text in texts) // BYTES_A_TOKEN, faults)

    async def aclose(self) -> None:
        """Answer no further call."""
        self._closed = True
