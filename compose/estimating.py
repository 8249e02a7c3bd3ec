"""What would a reset cost? A sample of what would be read again is decoded and looked up in the index."""

import time
from collections.abc import Iterable, Sequence
from contextlib import aclosing

import aiohttp
import msgspec

from compose.offsets import GroupOffsets
from compose.overview import WORKER_TIMEOUT_S, ask_worker
from compose.service import see_that_it_exists
from consumers.core.decoding import Decoded, decode
from consumers.core.flight import hash_of
from consumers.core.resetting import Move
from consumers.kafka.reader import read
from schemas.documents import Document
from schemas.errors import HeadraceError, InvalidDocument
from schemas.index import Candidate, Standing
from schemas.messages import Message

SAMPLE = 500
PLACES = 5
"""So many stretches of each partition are looked at: what is old and what is new often differ."""
BYTES_A_TOKEN = 4
MILLION = 1_000_000
HOUR_S = 3600
FREE = (Standing.UNCHANGED, Standing.REDELIVERED, Standing.SUPERSEDED)

Range = tuple[int, int]


class Estimate(msgspec.Struct, frozen=True):
    """What reading ``messages`` again comes to, judged by ``sampled`` of them; None is unknown.

    ``free`` of the sample need no call: they are stored unchanged, something newer is, or they delete. ``invalid``
    become dead letters once more. ``notes`` say why something is unknown, and what else follows.
    """

    messages: int
    sampled: int
    free: int
    invalid: int
    tokens: int | None
    money: float | None
    hours: float | None
    notes: list[str]


async def estimate(at: GroupOffsets, moves: Iterable[Move]) -> Estimate:
    """Read a sample and look it up. Raises what Kafka and the store raise."""
    ranges = {one.partition: stretch for one in moves if (stretch := _again(one)) is not None}
    messages = sum(end - start for start, end in ranges.values())
    sample = await _sample(at, ranges)
    decoded, invalid = _decoded(sample, at.settings.worker.max_document_bytes)
    documents = [(one, one.subject) for one in decoded if isinstance(one.subject, Document)]
    standings = await _standings(at, documents)
    costly = [document for (_, document), standing in zip(documents, standings, strict=True) if standing not in FREE]
    notes: list[str] = []
    size = sum(len(document.text.encode()) for document in costly)
    tokens = round(messages * size / BYTES_A_TOKEN / len(sample)) if sample else (None if messages else 0)
    price = at.settings.provider.price_per_million_tokens
    if price is None and tokens:
        notes.append("money: set provider.price_per_million_tokens")
    rate, why = await _rate(at) if messages else (None, None)
    if why is not None:
        notes.append(f"time: {why}")
    free = len(decoded) - len(costly)
    if sample and free == len(sample):
        notes.append(
            "all of the sample is stored as it is: reading it again embeds nothing and changes no vector; "
            "to embed it anew on purpose: `headrace run --force`"
        )
    return Estimate(
        messages,
        len(sample),
        free,
        invalid,
        tokens,
        0.0 if tokens == 0 else None if price is None or tokens is None else round(tokens * price / MILLION, 4),
        None if rate is None else round(messages / rate / HOUR_S, 3),
        notes,
    )


def _again(one: Move) -> Range | None:
    """Return what a move lets be read again; all up to the end where nothing was committed."""
    if not one.again or one.after is None:
        return None
    start = max(one.after, one.start)
    return start, start + one.again


async def _sample(at: GroupOffsets, ranges: dict[int, Range]) -> list[Message]:
    found: list[Message] = []
    if not ranges:
        return found
    most = max(SAMPLE // (PLACES * len(ranges)), 1)
    kafka = at.settings.kafka
    for place in range(PLACES):
        stretches = {p: stretch for p, told in ranges.items() if (stretch := _stretch(told, place, most)) is not None}
        async with aclosing(read(kafka, kafka.topic, stretches)) as groups:
            async for messages in groups:
                found += messages
    return found


def _stretch(told: Range, place: int, most: int) -> Range | None:
    """Return up to *most* offsets of stretch *place* out of PLACES; none where the range is too short for it."""
    start, end = told
    first, last = start + (end - start) * place // PLACES, start + (end - start) * (place + 1) // PLACES
    return (first, min(first + most, last)) if first < last else None


def _decoded(sample: Sequence[Message], max_bytes: int) -> tuple[list[Decoded], int]:
    decoded, invalid, now_ms = [], 0, int(time.time() * 1000)
    for message in sample:
        try:
            decoded.append(decode(message, now_ms, max_bytes))
        except InvalidDocument:
            invalid += 1
    return decoded, invalid


async def _standings(at: GroupOffsets, documents: Sequence[tuple[Decoded, Document]]) -> list[Standing]:
    stored = see_that_it_exists(await at.store.about(), at.settings.store.index)
    fingerprint = stored.digest.encode()
    return await at.store.look_up(
        [
            Candidate(document.tenant, document.id, document.version, one.origin, one.fence_ts)
            for one, document in documents
        ],
        lambda number: hash_of(fingerprint, documents[number][1]),
    )


async def _rate(at: GroupOffsets) -> tuple[float | None, str | None]:
    """Return how many documents a second the worker does that answers here, or why that is unknown."""
    settings = at.settings
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WORKER_TIMEOUT_S)) as session:
        try:
            status = await ask_worker(settings.http, session)
        except HeadraceError as error:
            return None, str(error)
    if status.group != settings.group:
        return None, f"the worker that answers here works for the group {status.group}"
    rate = status.rates.last_60_s.documents_per_s
    return (rate, None) if rate else (None, "the worker that answers here did nothing in the last minute")
