"""What does a reconciliation say, in words and as data?"""

from collections.abc import Mapping

import msgspec

from compose.service import fingerprint_of, see_that_it_exists, see_that_it_fits
from consumers.core.reconciling import DIFFERENCES, Finding, Pair
from consumers.reconcile import Account, Reconciliation, Tally
from consumers.stores.pgvector import PgVectorStore
from schemas.messages import Origin
from schemas.settings import Settings

WORDS: Mapping[Finding, str] = {
    Finding.RIGHT: "the index holds what the topic says",
    Finding.MISSING: "in the topic, not in the index",
    Finding.STALE: "the index holds an earlier record",
    Finding.DIFFERS: "another content than the record's, or not all of its chunks",
    Finding.ORPHAN: "in the index, not in the topic",
    Finding.DEAD_LETTERED: "a dead letter waits: `headrace dlq list`",
    Finding.GIVEN_UP: "its dead letter was discarded, parked, corrected or sent elsewhere",
    Finding.IN_FLIGHT: "the group has not come so far: not due yet",
    Finding.NEWER: "the index holds a later record than was read here",
    Finding.UNKNOWN: "the index holds it from a place of which the topic says nothing any more",
}
"""What each finding means, in the order in which they are told."""
LISTED = (*DIFFERENCES, Finding.GIVEN_UP, Finding.UNKNOWN)
"""What is worth a line a document: what is not due and what came since will look otherwise in a moment."""


class Place(msgspec.Struct, frozen=True):
    """Where a record lies or first lay; ``timestamp`` is in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A document that is not right: the origin of its record in the topic, and the one its row comes from.

    ``deleted`` says that the record is a deletion. Of the chunks ``chunks`` are there, ``chunk_count`` should be.
    """

    finding: Finding
    tenant: str
    id: str
    record: Place | None = None
    row: Place | None = None
    deleted: bool = False
    chunks: int | None = None
    chunk_count: int | None = None


class Summary(msgspec.Struct, frozen=True):
    """Documents by finding; ``records`` were read, ``undecodable`` of them are no documents.

    ``wrong_model`` documents have vectors of another fingerprint than the settings say.
    """

    topic: str
    index: str
    group: str
    records: int
    undecodable: int
    documents: int
    deletions: int
    live: int
    wrong_model: int
    findings: dict[str, int]
    differences: int
    seconds: float


async def reconciliation(settings: Settings, *, repairs: bool) -> Reconciliation:
    """Prepare a look at the index of these settings.

    Raises StoreMisconfigured where there is none, and IndexMismatch where it is to be repaired and the worker would
    not write to it.
    """
    wanted = fingerprint_of(settings)
    async with PgVectorStore(settings.store) as store:
        stored = see_that_it_exists(await store.about(), settings.store.index)
    if repairs:
        see_that_it_fits(stored, wanted, settings.store.index)
    return Reconciliation(settings, stored, wanted)


def line(finding: Finding, pair: Pair) -> Line:
    """Say what was found of a document, as data."""
    sighting, row = pair.sighting, pair.row
    return Line(
        finding,
        pair.tenant,
        pair.id,
        None if sighting is None else _place(sighting.origin),
        None if row is None else _place(row.origin),
        sighting is not None and sighting.content_hash is None,
        None if row is None else row.chunks,
        None if row is None else row.chunk_count,
    )


def summary(settings: Settings, account: Account, tally: Tally) -> Summary:
    """Say what was found in all, as data."""
    seen = account.seen
    return Summary(
        settings.kafka.topic,
        settings.store.index,
        settings.group,
        account.records,
        seen.undecodable,
        seen.sightings - seen.deletions,
        seen.deletions,
        seen.live,
        account.wrong_model,
        {finding.value: account.findings[finding] for finding in WORDS},
        differences(account),
        round(tally.seconds, 3),
    )


def differences(account: Account) -> int:
    """Count what somebody has to act on."""
    return sum(account.findings[finding] for finding in DIFFERENCES) + account.wrong_model


def detail(told: Line) -> str:
    """Say in words how the record and the row of a document differ."""
    record = "nothing in the topic" if told.record is None else _written(told.record)
    if told.deleted:
        record += " deletes it"
    row = "no row" if told.row is None else f"row from {_written(told.row)}"
    if told.chunks != told.chunk_count:
        row += f" with {told.chunks} of {told.chunk_count} chunks"
    return f"{record}, {row}"


def _place(origin: Origin) -> Place:
    return Place(origin.topic, origin.partition, origin.offset, origin.timestamp)


def _written(place: Place) -> str:
    return f"{place.topic} {place.partition}:{place.offset}"
