"""Two workers are started with one `kafka.instance_id`: each puts the other out of the group, without end.

Invariant: both say so, as `blocked` with the id in the reason; once one of them is gone the other works on, is well
again, and nothing is lost.
Fault: the same static id, given twice.
"""

from schemas.status import State, Status
from tests.scenarios.harness import Harness, document

NAME = "one-of-us"


def names_the_id(status: Status) -> bool:
    return status.state is State.BLOCKED and NAME in status.reason


async def test_two_workers_of_one_id_say_so(harness: Harness) -> None:
    await harness.publish(map(document, range(40)))
    first, second = (harness.worker(kafka__instance_id=NAME, kafka__session_timeout_s=6) for _ in range(2))
    for worker in (first, second):
        await harness.wait_for_status(worker, "its id is used twice", names_the_id, within=90)
    assert await second.stop() == 0
    await harness.publish(map(document, range(40, 60)))
    await harness.assert_nothing_lost()
    assert await harness.everything_is_stored()
