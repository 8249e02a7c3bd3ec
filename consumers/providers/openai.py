"""Embeddings from any server of the OpenAI-shaped family; in what they differ is told by their profiles."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from consumers.core.remaining import Remaining, remaining
from consumers.core.vectors import Unpacked, unpack
from consumers.providers import refusals, request
from consumers.providers.api_key import ApiKey
from consumers.providers.complaint import read
from consumers.providers.profiles import profile_of
from consumers.providers.protocol import Reply
from schemas import __version__
from schemas.errors import (
    HeadraceError,
    MalformedReply,
    ProviderMisconfigured,
    ProviderUnavailable,
)
from schemas.settings import ProviderSettings

WITNESS = "The quick brown fox jumps over the lazy dog."
"""A text that every model can embed: it says whether a fault is the texts' or the provider's."""

READ_BUFFER = 1024 * 1024
ERROR_BODY = 64 * 1024
BYTES_A_TOKEN = 4
# A reply is refused beyond this: so much for each text, with every number written out in decimal, and for the rest.
ASSUMED_DIMENSIONS = 16_384
BYTES_A_NUMBER = 32
ENVELOPE = 1024 * 1024


class OpenAIProvider:
    """One model behind one address, over at most ``concurrency`` connections."""

    def __init__(self, settings: ProviderSettings, *, clock: Callable[[], float] = time.time) -> None:
        """Raise ProviderMisconfigured where the settings can not work. The first call connects."""
        if not settings.base_url or not settings.model:
            raise ProviderMisconfigured("set provider.base_url (with its /v1) and provider.model")
        self._settings = settings
        self._profile = profile_of(settings)
        self._model = settings.model
        self._url = request.endpoint(self._profile, settings.base_url, settings.model)
        self._asked = settings.dimensions
        """The dimensions that are asked for; None once it is known that this model has no others."""
        self._key = ApiKey(settings.api_key, settings.api_key_file)
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<OpenAIProvider {self._model} at {_shown(self._url)}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    async def embed(self, texts: Sequence[str]) -> Reply:
        """Return one vector for each text, in order, within ``timeout_s`` for the whole call."""
        if not texts:
            return Reply((), 0)
        failure: HeadraceError
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._embed(texts)
        except TimeoutError:
            failure = ProviderUnavailable(f"no complete answer within {self._settings.timeout_s:g} s")
        except (aiohttp.InvalidURL, aiohttp.ClientConnectorCertificateError) as foreign:
            failure = ProviderMisconfigured(self._said(foreign))
        except (aiohttp.ClientError, OSError) as foreign:
            failure = ProviderUnavailable(self._said(foreign))
        # Out here nothing hangs on to the foreign exception: it may hold the headers of the request, and so the key.
        raise failure

    async def aclose(self) -> None:
        """Close the connections; calls still waiting fail."""
        self._closed = True
        if self._session:
            await self._session.close()

    async def _embed(self, texts: Sequence[str]) -> Reply:
        body, left = await self._post_in_any_dimensions(texts)
        try:
            unpacked = self._unpack(body, len(texts))
        except MalformedReply as malformed:
            told = self._explain(200, body[:ERROR_BODY], {})
            raise (malformed if isinstance(told, MalformedReply) else told) from None
        except ProviderMisconfigured:
            # Strange texts look like a wrong model when they are alone in a call. If the witness fares no better than
            # they do, it is the model.
            self._unpack((await self._post([WITNESS], self._asked))[0], 1)
            unpacked = self._unpack(body, len(texts), blame_items=True)
        return _reply(unpacked, texts, left)

    async def _post_in_any_dimensions(self, texts: Sequence[str]) -> tuple[bytes, Remaining | None]:
        """Ask for no dimensions any more where a model refuses to be asked and its vectors have the right length."""
        try:
            return await self._post(texts, self._asked)
        except ProviderMisconfigured as refused:
            if refused.field != refusals.DIMENSIONS or not self._asked:
                raise
        self._unpack((await self._post([WITNESS], None))[0], 1)
        self._asked = None
        return await self._post(texts, None)

    def _unpack(self, body: bytes, count: int, *, blame_items: bool = False) -> Unpacked:
        return unpack(body, count, self._settings.dimensions, shape=self._profile.shape, blame_items=blame_items)

    async def _post(self, texts: Sequence[str], dimensions: int | None) -> tuple[bytes, Remaining | None]:
        """Return the body of a success and what is left of the quota; raise what a refusal means."""
        data = request.body(self._profile, self._model, texts, dimensions)
        # The headers stay out of the local variables, which some traceback printers show: they hold the key.
        async with self._open().post(self._url, data=data, headers=self._headers(), allow_redirects=False) as response:
            if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise self._explain(response.status, await _read(response, ERROR_BODY), response.headers)
            most = ENVELOPE + len(texts) * BYTES_A_NUMBER * (self._settings.dimensions or ASSUMED_DIMENSIONS)
            body = await _read(response, most)
            left = remaining(response.headers)
        if len(body) > most:
            raise MalformedReply(f"the reply to {len(texts)} texts is longer than {most} bytes")
        return body, left

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        key = self._key.value()
        if key:
            headers[self._profile.key_header] = f"{self._profile.key_prefix}{key}"
        return headers

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ProviderUnavailable("the provider is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._settings.concurrency),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # embed() holds the one budget
                headers={"Accept-Encoding": "identity", "User-Agent": f"headrace/{__version__}"},
                read_bufsize=READ_BUFFER,
            )
        return self._session

    def _explain(self, status: int, body: bytes, headers: Mapping[str, str]) -> HeadraceError:
        return refusals.explain(read(status, body, headers, self._clock()), self._key.scrub)

    def _said(self, foreign: Exception) -> str:
        words = self._key.scrub(f"{type(foreign).__name__}: {foreign}")
        return f"{_shown(self._url)}: {words}"[: refusals.MAX_MESSAGE]


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body; of a longer one the beginning, a little more than *most* bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            response.close()
            break
    return b"".join(parts)


def _shown(url: URL) -> str:
    """Return the address without its query, where some providers want a key."""
    return str(url.with_query(None))


def _reply(unpacked: Unpacked, texts: Sequence[str], left: Remaining | None) -> Reply:
    tokens = unpacked.tokens
    if tokens is None:
        tokens = sum(len(text.encode()) for text in texts) // BYTES_A_TOKEN
    return Reply(unpacked.vectors, tokens, unpacked.faults, left)
