"""Does another process use the static id of this one?

Two members with one ``kafka.instance_id`` evict each other without end, each as soon as it notices that it is out. One
loss is normal life: a long stall, a restart whose predecessor was not quite gone. Three in a minute are not.
"""

from collections import deque

LOSSES = 3
WITHIN_S = 60.0


class Membership:
    """How often this member was put out of its group of late. ``now`` is any clock that only goes forward."""

    __slots__ = ("_instance_id", "_losses")

    def __init__(self, instance_id: str | None) -> None:
        """Begin without a loss; *instance_id* is the static id, if there is one."""
        self._instance_id = instance_id
        self._losses: deque[float] = deque(maxlen=LOSSES)

    def __repr__(self) -> str:
        return f"<Membership {self._instance_id} losses={len(self._losses)}>"

    def lost(self, now: float) -> None:
        """Note that the group has put this member out."""
        self._losses.append(now)

    def contested(self, now: float) -> str | None:
        """Return, in words, that the id is used by somebody else; None where nothing speaks for it."""
        if self._instance_id is None or len(self._losses) < LOSSES or now - self._losses[0] > WITHIN_S:
            return None
        return (
            f"put out of the group {LOSSES} times within {WITHIN_S:.0f} s: another process uses "
            f"kafka.instance_id = {self._instance_id!r} as well, give each process one of its own"
        )
