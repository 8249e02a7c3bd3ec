"""Where does reading a partition begin?

Kafka keeps one position per group and partition, the index another: each commit is written to the index first. Where
the two differ, this decides which is right.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from schemas.errors import IndexMismatch

OWNER = "headrace"
OPERATOR = "headrace-reset"
"""What our own resets carry: a worker follows them as it follows those of any other tool."""

FILL = "`headrace offsets reset --to earliest --execute`"
GO_ON = "`headrace offsets reset --to current --execute`"
"""What mends a group whose positions are not of this index: read the topic from its start, or go on where it is."""


class Because(StrEnum):
    """Why a partition is read from where it is."""

    COMMITTED = "committed"
    """Kafka's commit, ours or an operator's."""
    POLICY = "policy"
    """The group never committed: the setting decides."""
    ADDED = "added"
    """The group knows other partitions: this one was added later and is read from its start."""
    REWOUND = "rewound"
    """The database was restored or failed over to an earlier time: what it knows is right."""
    LOST = "lost_to_retention"
    """What comes next was deleted from the topic: reading goes on at what is left."""
    ANEW = "topic_made_anew"
    """The position lies beyond the end: the topic was deleted and made again."""


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """What Kafka and the index say of a partition; ``committed`` and ``stored`` are next offsets, or None."""

    committed: int | None
    metadata: str
    stored: int | None
    log_start: int
    log_end: int


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin, why, and where Kafka's commit stood."""

    position: int
    because: Because
    expected: int


def commit_metadata(index: str, digest: str) -> str:
    """Return what our commits carry, so that they can be told from an operator's."""
    return f"{OWNER}/{index}/{digest}"


def reset_metadata(number: str) -> str:
    """Return what the commits of a reset carry."""
    return f"{OPERATOR}/{number}"


def index_of(metadata: str) -> str | None:
    """Return the index whose worker wrote a commit; None where no worker did."""
    owner, _, rest = metadata.partition("/")
    return rest.partition("/")[0] if owner == OWNER else None


def writer_of(metadata: str) -> str:
    """Say in words who wrote a commit."""
    index = index_of(metadata)
    if index is not None:
        return f"index {index}"
    return "headrace offsets" if metadata.partition("/")[0] == OPERATOR else "another tool"


def see_that_the_index_knows(index: str, committed: Iterable[str]) -> None:
    """Raise IndexMismatch where an index without documents and positions meets commits of its own workers."""
    if any(index_of(metadata) == index for metadata in committed):
        raise IndexMismatch(
            f"the group has committed positions of which the index {index!r} knows nothing, and it holds no document: "
            f"{FILL} fills it from the start of the topic, {GO_ON} takes what comes from now on"
        )


def start_of(facts: PartitionFacts, index: str, *, policy: Literal["earliest", "latest"], group_is_new: bool) -> Start:
    """Decide where to begin. Raises IndexMismatch where the group belongs to another index."""
    expected, because = _expected(facts, index, policy=policy, group_is_new=group_is_new)
    if expected < facts.log_start:
        return Start(facts.log_start, Because.LOST, expected)
    if expected > facts.log_end:
        return Start(facts.log_start, Because.ANEW, expected)
    return Start(expected, because, facts.committed if facts.committed is not None else expected)


def _expected(
    facts: PartitionFacts, index: str, *, policy: Literal["earliest", "latest"], group_is_new: bool
) -> tuple[int, Because]:
    if facts.committed is None:
        if not group_is_new:
            return facts.log_start, Because.ADDED
        return (facts.log_start if policy == "earliest" else facts.log_end), Because.POLICY
    theirs = index_of(facts.metadata)
    if theirs is None:
        return facts.committed, Because.COMMITTED
    if theirs != index:
        raise IndexMismatch(
            f"the group's position belongs to the index {theirs!r}, this worker writes to {index!r}: "
            f"give each index its own kafka.group, or set store.index = {theirs!r}, or take the group over: "
            f"{FILL} fills {index!r} from the start of the topic, {GO_ON} takes what comes from now on"
        )
    known = facts.log_start if facts.stored is None else facts.stored
    return (known, Because.REWOUND) if known < facts.committed else (facts.committed, Because.COMMITTED)
