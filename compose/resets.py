"""How does a group get to other offsets, and back?

A reset changes nothing but the group's offsets in Kafka, in one request. Their metadata is not a worker's, so that a
worker follows them whatever the index remembers; from its next commit on the index and Kafka agree again.

To undo it the index has to remember again what it did then: else a worker would take its smaller positions for those
of a database that was restored, and rewind to them. That is exactly what it has to do where the database was restored
since. So each reset leaves its number in the index, and where that is missing the positions are left alone.
"""

import getpass
import socket
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from compose import undo_files
from compose.offsets import Facts, GroupOffsets
from compose.orchestration import Tell, away, see_that_it_is_empty
from compose.service import see_that_it_exists
from compose.undo_files import Before, Undo
from consumers.core.positions import index_of, reset_metadata
from consumers.core.resetting import Move, Place, Target, To, in_scope, move, moved
from consumers.kafka.admin import Commit
from consumers.kafka.offsets import delete_offsets, write_offsets
from schemas.errors import ConfigurationError
from schemas.orders import YES, leave_of, reset_of


class Plan(msgspec.Struct, frozen=True):
    """What a change of offsets comes to. ``warnings`` are what somebody should know before."""

    group: str
    topic: str
    to: str
    moves: list[Move]
    warnings: list[str]
    members: list[str]


class Done(msgspec.Struct, frozen=True):
    """A change that was made; ``file`` undoes it, or is what it was undone by."""

    plan: Plan
    file: str


async def plan_reset(at: GroupOffsets, target: Target, partitions: Collection[int], *, any_group: bool = False) -> Plan:
    """Say what a reset would come to. Raises ConfigurationError for what can not be done.

    A group that Kafka does not know is refused, save *any_group*.
    """
    facts, topic = await at.facts(any_group=any_group), at.settings.kafka.topic
    scope = in_scope([one.partition for one in facts.extents], partitions, target, topic)
    at_time: Mapping[int, int | None] = {}
    if target.to is To.TIME:
        at_time = await at.view.offsets_at(topic, scope, target.number)
    moves, warnings = [], []
    for place in _places(facts, at_time):
        if place.partition in scope:
            planned, warning = move(target, place)
            moves += [planned] if planned is not None else []
            warnings += [warning] if warning is not None else []
    if skipped := sum(one.skipped for one in moves):
        warnings.append(f"{skipped:,} messages are never read: what they say will be missing in the index")
    return _plan(at, target.said, moves, warnings, facts)


async def reset(
    at: GroupOffsets,
    target: Target,
    partitions: Collection[int],
    undo_file: Path | None,
    *,
    orchestrate: bool,
    tell: Tell,
) -> Done:
    """Reset. Raises GroupIsLive where the group has members that do not leave."""
    see_that_it_exists(await at.store.about(), at.settings.store.index)
    await plan_reset(at, target, partitions)  # what can not be done sends nobody away
    async with _alone(at, tell, orchestrate=orchestrate):
        # Kafka forgets a group without commits when its last member leaves.
        plan = await plan_reset(at, target, partitions, any_group=True)
        number = undo_files.new_number(datetime.now(UTC))
        path = undo_files.write(await _before(at, number, plan.moves), undo_file)
        await at.store.give_orders({reset_of(plan.group, number): plan.to}, _operator())
        metadata = reset_metadata(number)
        await _write(at, {one.partition: _commit(one.after, metadata) for one in plan.moves})
    return Done(plan, str(path))


async def plan_undo(at: GroupOffsets, file: Path | None) -> tuple[Path, Undo, Plan]:
    """Return the undo file that is meant, the newest where none is named, and what it comes to.

    Raises ConfigurationError where it is not of this cluster, topic, group and index.
    """
    settings = at.settings
    told = (await at.view.cluster_id(), settings.kafka.topic, settings.group, settings.store.index)
    path, undo = undo_files.newest(*told) if file is None else (file, undo_files.read(file))
    undo_files.see_that_it_fits(undo, path, *told)
    facts = await at.facts(any_group=True)  # Kafka forgets groups that nobody has used for long
    places = {place.partition: place for place in _places(facts, {})}
    moves = []
    for before in undo.partitions:
        place = places.get(before.partition)
        wanted = None if before.commit is None else before.commit.offset
        if place is None or (wanted or 0) > place.end:
            raise ConfigurationError(
                f"{path} is of an earlier topic of this name: partition {before.partition} has no offset {wanted} now"
            )
        moves.append(moved(place, wanted))
    return path, undo, _plan(at, f"what it was at {undo.at}", moves, await _cautions(at, undo, places), facts)


async def undo_reset(at: GroupOffsets, file: Path | None, *, orchestrate: bool, tell: Tell) -> Done:
    """Put back what an undo file says. The index comes first; a kill in between is mended by doing it again.

    Raises GroupIsLive where the group has members that do not leave.
    """
    see_that_it_exists(await at.store.about(), at.settings.store.index)
    path, _, _ = await plan_undo(at, file)
    async with _alone(at, tell, orchestrate=orchestrate):
        path, undo, plan = await plan_undo(at, path)
        if await _is_remembered(at, undo):
            known = {one.partition: one.position for one in undo.partitions if one.position is not None}
            unknown = {one.partition for one in undo.partitions} - known.keys()
            await at.store.save_positions(undo.group, undo.topic, known)
            await at.store.forget_positions(undo.group, undo.topic, unknown)
        await _write(at, {one.partition: one.commit for one in undo.partitions})
    return Done(plan, str(undo_files.set_aside(path)))


def _plan(at: GroupOffsets, to: str, moves: list[Move], warnings: list[str], facts: Facts) -> Plan:
    return Plan(at.settings.group, at.settings.kafka.topic, to, moves, warnings, facts.members)


def _places(facts: Facts, at_time: Mapping[int, int | None]) -> list[Place]:
    return [
        Place(
            one.partition,
            one.start,
            one.end,
            facts.committed[one.partition].offset if one.partition in facts.committed else None,
            at_time.get(one.partition),
        )
        for one in facts.extents
    ]


def _commit(offset: int | None, metadata: str) -> Commit | None:
    return None if offset is None else Commit(offset, metadata)


async def _before(at: GroupOffsets, number: str, moves: Iterable[Move]) -> Undo:
    """Return what there is before anything is changed."""
    settings = at.settings
    group, topic = settings.group, settings.kafka.topic
    committed, positions = await at.view.committed(group, topic), await at.store.load_positions(group, topic)
    return Undo(
        number,
        datetime.now(UTC).isoformat(timespec="seconds"),
        _operator(),
        await at.view.cluster_id(),
        topic,
        group,
        settings.store.index,
        [Before(one.partition, committed.get(one.partition), positions.get(one.partition)) for one in moves],
    )


async def _is_remembered(at: GroupOffsets, undo: Undo) -> bool:
    return bool(await at.store.orders([reset_of(undo.group, undo.number)]))


async def _cautions(at: GroupOffsets, undo: Undo, places: Mapping[int, Place]) -> list[str]:
    """Say what the worker will make of it."""
    told = []
    if not await _is_remembered(at, undo):
        told.append(
            "the index does not remember this reset: the database was put back to an earlier time since, or the reset "
            "was never made; its positions stay as they are, and a worker that finds itself ahead of them rewinds"
        )
    for one in undo.partitions:
        if one.commit is None:
            continue
        if one.commit.offset < places[one.partition].start:
            told.append(f"partition {one.partition} begins at {places[one.partition].start}: what came before is gone")
        elif one.position is None and index_of(one.commit.metadata) == undo.index:
            told.append(
                f"the index knew nothing of the position of partition {one.partition} then: a worker reads it from its "
                "start, or refuses to where the index is empty"
            )
    return told


async def _write(at: GroupOffsets, wanted: Mapping[int, Commit | None]) -> None:
    settings = at.settings
    group, topic = settings.group, settings.kafka.topic
    await write_offsets(settings.kafka, group, topic, {p: one for p, one in wanted.items() if one is not None})
    committed = await at.view.committed(group, topic)
    gone = [p for p, one in wanted.items() if one is None and p in committed]
    await delete_offsets(settings.kafka, group, topic, gone)


@asynccontextmanager
async def _alone(at: GroupOffsets, tell: Tell, *, orchestrate: bool) -> AsyncIterator[None]:
    """See that nobody is in the group, and that our workers keep out of it where *orchestrate* says so."""
    settings = at.settings
    if orchestrate:
        async with away(settings, at.store, at.view, _operator(), tell):
            yield
        return
    see_that_it_is_empty(await at.view.group(settings.group, settings.kafka.topic))
    yield
    if any(order.value == YES for order in await at.store.orders([leave_of(settings.group)])):
        tell(f"the workers of {settings.group} are still told to stay out of the group: `headrace resume` calls them")


def _operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
