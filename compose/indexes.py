"""When may an index be promoted, when may it be dropped, and which one does a search read?"""

import asyncio
import getpass
import socket
import time

import msgspec

from consumers.kafka.admin import KafkaView, Member
from consumers.stores.catalog import Catalog, settings_of
from consumers.stores.coverage import Comparison
from consumers.stores.promotion import Promotion
from schemas.catalog import DEFAULT_PAIR, Coverage, Described, Switched
from schemas.errors import BrokerError, BrokerUnavailable, ConfigurationError, HeadraceError
from schemas.index import Fingerprint
from schemas.settings import Settings

PATIENCE_S = 5.0
"""How long nothing may arrive in an index before it counts as incomplete."""
LOOK_S = 0.3
WORTH_INDEXING = 10_000
"""Chunks from which on comparing all of them is felt."""


class Promoted(msgspec.Struct, frozen=True):
    """What was switched, and how the index that is read now stands to the one before, if there was one."""

    switched: Switched
    coverage: Coverage | None


async def promote(settings: Settings, name: str, pair: str, *, even_if_incomplete: bool) -> Promoted:
    """Let a pair of views read an index.

    Raises ConfigurationError where readers would miss something by it, unless told to do so nevertheless.
    """
    catalog = Catalog(settings.store)
    target = await catalog.index(name)
    before = await catalog.promoted(pair)
    coverage = None
    if before != name:
        present = None if before is None else await catalog.index(before)
        coverage = None if present is None else await caught_up(Comparison(settings.store, present.name, name))
        doubts = _doubts(target, present, coverage)
        if doubts and not even_if_incomplete:
            raise ConfigurationError(
                f"not promoted: {'; '.join(doubts)}; --even-if-incomplete promotes it nevertheless"
            )
    return Promoted(await Promotion(settings.store, pair).to(name, operator()), coverage)


async def go_back(settings: Settings, pair: str) -> Promoted:
    """Let a pair of views read what it read before, at once, and say afterwards how that stands to what it leaves."""
    promotion = Promotion(settings.store, pair)
    switched = await promotion.to(await promotion.previous(), operator())
    if switched.previous is None:
        return Promoted(switched, None)
    return Promoted(switched, await Comparison(settings.store, switched.previous, switched.index).coverage())


async def caught_up(comparison: Comparison) -> Coverage:
    """Look until nothing lacks any longer that was there at the first look, or nothing arrives any longer.

    Two groups at work are never equally far: what has come in the meantime says nothing about completeness.
    """
    first = last = await comparison.coverage()
    moved = time.monotonic()
    while last.lacking and time.monotonic() - moved < PATIENCE_S:
        await asyncio.sleep(LOOK_S)
        now = await comparison.coverage(first.at)
        if now.lacking < last.lacking:
            moved = time.monotonic()
        last = now
    return last


def _doubts(target: Described, present: Described | None, coverage: Coverage | None) -> list[str]:
    name = target.name
    doubts = []
    if not target.counts.documents:
        doubts.append(f"the index {name} is empty: fill it with `headrace run --index {name}`")
    elif present is not None and coverage is not None and coverage.lacking:
        doubts.append(
            f"the index {name} {coverage.lacks(present.name)}: "
            f"`headrace index compare {present.name} {name} --list` shows which"
        )
    if present is not None and present.vector_index is not None and target.vector_index is None:
        doubts.append(
            f"the index {name} has no vector index, which {present.name} has, and searches would become slow: "
            f"`headrace index build {name}` makes one"
        )
    return doubts


async def see_that_it_may_go(settings: Settings, name: str) -> None:
    """Look whether anybody needs an index.

    Raises ConfigurationError where views read it or a group works for it, and BrokerUnavailable where Kafka does not
    say whether one does.
    """
    catalog = Catalog(settings.store)
    if pairs := (await catalog.index(name)).promoted:
        of = "" if DEFAULT_PAIR in pairs else f" --as {pairs[0]}"
        raise ConfigurationError(
            f"the index {name} is promoted, readers use it: promote another one first, or go back with "
            f"`headrace index promote --back{of}`"
        )
    for group, members in (await live_groups(settings, name)).items():
        who = ", ".join(f"{one.client_id} at {one.host}" for one in members)
        raise ConfigurationError(f"the group {group} works for the index {name}: stop {who} first")


async def live_groups(settings: Settings, name: str) -> dict[str, tuple[Member, ...]]:
    """Return the members of the groups that work for an index, of those that have some."""
    groups = {(f"headrace-{name}", settings.kafka.topic), *await Catalog(settings.store).groups(name)}
    try:
        async with KafkaView(settings.kafka) as view:
            found = {group: (await view.group(group, topic)).members for group, topic in sorted(groups)}
    except BrokerError as error:
        raise BrokerUnavailable(f"only Kafka knows whether a group works for the index {name}: {error}") from error
    return {group: members for group, members in found.items() if members}


async def read_from_promoted(settings: Settings) -> Settings:
    """Return the settings with which the promoted index is searched; the given ones where none is promoted."""
    catalog = Catalog(settings.store)
    name = await catalog.promoted()
    if name is None:
        return settings
    store = settings_of(settings.store, name, await catalog.fingerprint(name))
    return settings.model_copy(update={"store": store})


async def advice(settings: Settings) -> str | None:
    """Return what there is to say of a large index without a vector index; None where there is nothing to say."""
    name = settings.store.index
    try:
        index = await Catalog(settings.store).index(name)
    except HeadraceError:
        return None  # what was to be done is done: advice is not worth an error
    if index.vector_indexes or index.counts.chunks < WORTH_INDEXING:
        return None
    return (
        f"the index {name} holds {index.counts.chunks:,} chunks and no vector index: `headrace index build {name}` "
        "makes searches fast, and writes slower"
    )


def vectors_of(settings: Settings, fingerprint: Fingerprint) -> Settings:
    """Return the settings with which a query is embedded for an index of the same provider."""
    told = {"model": fingerprint.model, "dimensions": fingerprint.dimensions}
    return settings.model_copy(update={"provider": settings.provider.model_copy(update=told)})


def operator() -> str:
    """Return who gives an order, for those who will ask."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
