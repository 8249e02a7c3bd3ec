"""Whose turn is it?

Deficit round robin: a queue for each tenant, served in turn, each for as much as it has credit. What one tenant has
waiting delays its own documents, not another's.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

Item = TypeVar("Item", bound=tuple[Any, ...])


class _Queue(Generic[Item]):
    """What one tenant has waiting, and the cost of what may be served of it before it is the next tenant's turn."""

    __slots__ = ("credit", "items", "tenant")

    def __init__(self, tenant: str, credit: int) -> None:
        self.tenant = tenant
        self.credit = credit
        self.items: deque[Item] = deque()


class FairQueue(Generic[Item]):
    """Serve tenants in turn by the cost of what they have waiting; within a tenant the first come is the first served.

    An item is a tuple that begins with its cost, at least 1. While two tenants both have something waiting, what is
    served of them differs by no more than a *quantum* and their costliest items. A lone tenant is served as by a plain
    queue.
    """

    __slots__ = ("_queues", "_turns", "cost", "count", "quantum")

    def __init__(self, quantum: int) -> None:
        """Begin empty; *quantum* is the cost of what a tenant is served before it is the next one's turn."""
        self.quantum = quantum
        self.count = 0
        self.cost = 0
        """Of all that waits."""
        self._queues: dict[str, _Queue[Item]] = {}
        self._turns: deque[_Queue[Item]] = deque()

    def __repr__(self) -> str:
        return f"<FairQueue {self.count} of {len(self._turns)} tenants>"

    def __len__(self) -> int:
        return self.count

    def extend(self, tenant: str, items: Sequence[Item]) -> None:
        """Take *items* in, behind what this tenant has waiting already."""
        if not items:
            return
        queue = self._queues.get(tenant)
        if queue is None:
            queue = self._queues[tenant] = _Queue(tenant, self.quantum)
            self._turns.append(queue)
        queue.items.extend(items)
        self.cost += sum([item[0] for item in items])
        self.count += len(items)

    def served(self) -> Iterator[Item]:
        """Yield items in the order of turns; one has left the queue once the next is asked for.

        So whoever breaks off leaves in the queue what it was shown last. ``cost`` and the length are right again then.
        """
        turns = self._turns
        count = cost = 0
        try:
            while turns:
                queue = turns[0]
                items = queue.items
                if len(turns) == 1:
                    while items:
                        yield items[0]
                        cost += items.popleft()[0]
                        count += 1
                elif items[0][0] > queue.credit:
                    queue.credit += self.quantum
                    turns.rotate(-1)
                    continue
                else:
                    yield items[0]
                    served = items.popleft()[0]
                    queue.credit -= served
                    cost += served
                    count += 1
                if not items:
                    turns.popleft()
                    del self._queues[queue.tenant]
        finally:
            self.count -= count
            self.cost -= cost

    def take(self, most: int, cost: int) -> list[Item]:
        """Take out up to *most* items, and no more once they cost *cost*."""
        taken: list[Item] = []
        for item in self.served():
            if len(taken) >= most or cost <= 0:
                break
            taken.append(item)
            cost -= item[0]
        return taken

    def __iter__(self) -> Iterator[Item]:
        """Yield everything that waits, a tenant's together."""
        return (item for queue in self._turns for item in queue.items)

    def keep(self, wanted: Callable[[Item], bool]) -> None:
        """Forget what is not *wanted*; turns stay as they are."""
        for queue in list(self._turns):
            queue.items = deque(filter(wanted, queue.items))
            if not queue.items:
                self._turns.remove(queue)
                del self._queues[queue.tenant]
        self.count = sum(len(queue.items) for queue in self._turns)
        self.cost = sum(item[0] for item in self)

    def heads(self) -> Iterator[Item]:
        """Yield the first item of each tenant."""
        return (queue.items[0] for queue in self._turns)

    def clear(self) -> None:
        """Forget what waits."""
        self._queues.clear()
        self._turns.clear()
        self.cost = self.count = 0
