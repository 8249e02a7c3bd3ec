"""Bugs that are planted on purpose: a simulation that does not find them proves nothing.

Each is a patch on the real program, or on the adapter that it trusts:

- ``commit before write``: a position is what was read, not what was resolved;
- ``fence removed``: whatever is written last wins;
- ``commit of an expelled member``: the generation of an assignment is not compared;
- ``tracker stays open``: work on a partition that was given up goes on to resolve;
- ``misaligned vectors``: a reply is shifted by one;
- ``dead letter not awaited``: a message is resolved before its dead letter is acknowledged;
- ``position passes a gap``: it moves as soon as a later offset is resolved;
- ``resolved twice``: the budget is given back a second time;
- ``seek-back forgotten``: after a failed poll reading goes on behind what was thrown away;
- ``condition never cleared``: what once held intake back holds it for ever;
- ``positions unknown to the index``: Kafka is told instead of the database;
- ``begun after it was revoked``: an assignment that is gone before its starts are known is begun all the same;
- ``a rejected row takes its neighbours along``: a group with one is dead-lettered whole;
- ``forced in vain``: what was embedded before the moment is not older for the index;
- ``staged vectors given back twice``: the budget counts down for a document that it has forgotten;
- ``given up at once``: what waits for the provider is not let wait until its deadline.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from consumers.core import fence
from consumers.core.conditions import Conditions
from consumers.core.deadlines import Deadlines
from consumers.core.flight import Cause, Flight
from consumers.core.tracking import PartitionTracker
from consumers.kafka.commits import Commits
from consumers.kafka.source import Source
from consumers.providers.protocol import Reply
from consumers.settling import Settling
from consumers.writing import Writing
from schemas.dead_letters import DeadLetter
from schemas.errors import RowRejected
from schemas.index import Outcome
from tests.simulation.loop import Process
from tests.simulation.ports import LettersPort, ProviderPort, StorePort

Planted = tuple[object, str, object]
"""Where, under which name, what."""


def _commit_before_write() -> Planted:
    return PartitionTracker, "position", property(lambda tracker: tracker.expected)


def _fence_removed() -> Planted:
    real = fence.judge

    def judge(contender: fence.Contender, mark: fence.Mark) -> fence.Verdict:
        return fence.Verdict.REDELIVERED if real(contender, mark) is fence.Verdict.REDELIVERED else fence.Verdict.NEWER

    return fence, "judge", judge


def _commit_of_an_expelled_member() -> Planted:
    return Commits, "allowed", property(lambda _: True)


def _tracker_stays_open() -> Planted:
    return PartitionTracker, "close", lambda tracker: None  # noqa: ARG005 - the shape of what it replaces


def _misaligned_vectors() -> Planted:
    embed = ProviderPort.embed

    async def shifted(port: ProviderPort, texts: Any) -> Reply:  # noqa: ANN401 - passed on
        reply = await embed(port, texts)
        return Reply([*reply.vectors[1:], *reply.vectors[:1]], reply.tokens) if not reply.faults else reply

    return ProviderPort, "embed", shifted


def _dead_letter_not_awaited() -> Planted:
    send = LettersPort.send

    async def unawaited(port: LettersPort, letter: DeadLetter) -> None:
        port._world.loop.start(Process("unawaited"), lambda: _whatever(send(port, letter)))

    return LettersPort, "send", unawaited


async def _whatever(work: Any) -> None:  # noqa: ANN401 - any awaitable
    try:
        await work
    except Exception:  # noqa: BLE001 - nobody looks: that is the bug
        return


def _position_passes_a_gap() -> Planted:
    resolve = PartitionTracker.resolve

    def hasty(tracker: PartitionTracker, offset: int) -> None:
        resolve(tracker, offset)
        while tracker._received and tracker._received[0] < offset:
            tracker._unresolved.pop(tracker._received.popleft(), None)

    return PartitionTracker, "resolve", _tolerant(hasty)


def _tolerant(resolve: Callable[[PartitionTracker, int], None]) -> Callable[[PartitionTracker, int], None]:
    def tolerant(tracker: PartitionTracker, offset: int) -> None:
        if offset in tracker._unresolved:
            resolve(tracker, offset)

    return tolerant


def _resolved_twice() -> Planted:
    resolve = Settling.resolve

    def twice(settling: Settling, flights: Iterable[Flight], outcome: Outcome) -> None:
        both = list(flights)
        resolve(settling, both, outcome)
        if outcome is Outcome.SUPERSEDED:
            for flight in both:
                settling._shared.budget.release(flight.weight)

    return Settling, "resolve", twice


def _seek_back_forgotten() -> Planted:
    return Source, "_seek_back", lambda source, partitions: None  # noqa: ARG005 - the shape of what it replaces


def _condition_never_cleared() -> Planted:
    return Conditions, "clear", lambda conditions, part: None  # noqa: ARG005 - the shape of what it replaces


def _positions_unknown_to_the_index() -> Planted:
    async def nothing(port: StorePort, *told: object) -> bool:
        del port, told
        return True

    return StorePort, "advance_positions", nothing


def _begun_after_it_was_revoked() -> Planted:
    give_up = Source._give_up

    async def keeping(source: Source, *, ours: bool = False) -> None:
        due = source._due
        await give_up(source, ours=ours)
        source._due = due

    return Source, "_give_up", keeping


def _rejected_row_takes_its_neighbours_along() -> Planted:
    async def condemn_all(writing: Writing, group: list[tuple[Flight, object]], error: RowRejected) -> None:
        for flight, _ in group:
            writing._condemn(flight, Cause("write", "row-rejected", str(error)))

    return Writing, "_triage", condemn_all


def _forced_in_vain() -> Planted:
    return fence, "is_older", lambda embedded_at, force_before: False  # noqa: ARG005 - the shape of what it replaces


def _staged_vectors_given_back_twice() -> Planted:
    return Flight, "counted", property(lambda flight: True)  # noqa: ARG005 - the shape of what it replaces


def _given_up_at_once() -> Planted:
    return Deadlines, "before", lambda deadlines, now: now  # noqa: ARG005 - the shape of what it replaces


BUGS: dict[str, Callable[[], Planted]] = {
    "commit before write": _commit_before_write,
    "fence removed": _fence_removed,
    "commit of an expelled member": _commit_of_an_expelled_member,
    "tracker stays open": _tracker_stays_open,
    "misaligned vectors": _misaligned_vectors,
    "dead letter not awaited": _dead_letter_not_awaited,
    "position passes a gap": _position_passes_a_gap,
    "resolved twice": _resolved_twice,
    "seek-back forgotten": _seek_back_forgotten,
    "condition never cleared": _condition_never_cleared,
    "positions unknown to the index": _positions_unknown_to_the_index,
    "begun after it was revoked": _begun_after_it_was_revoked,
    "a rejected row takes its neighbours along": _rejected_row_takes_its_neighbours_along,
    "forced in vain": _forced_in_vain,
    "staged vectors given back twice": _staged_vectors_given_back_twice,
    "given up at once": _given_up_at_once,
}


@contextmanager
def planted(bug: str) -> Iterator[None]:
    """Run with a bug."""
    where, name, what = BUGS[bug]()
    with ExitStack() as opened:
        opened.enter_context(patch.object(where, name, what))
        yield
