"""Everything is embedded again on purpose, by workers that are killed meanwhile.

Invariant: each document that is stored is embedded once more, what a newer record has replaced is not, and who goes on
with the same moment pays only for the rest; one more pass with it calls nobody.
Fault: kill -9 in mid-load, of a lone worker and of one of two that a supervisor runs.
"""

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

from compose.fake_provider.behaviour import Behaviour, Fixed
from schemas.documents import Deletion
from tests.scenarios.harness import PARTITIONS, Harness, document

DOCUMENTS = 400
IN_FLIGHT = 4 * 8 * 3
"""Texts in the calls of one worker, and those that have come back and are not written yet."""
OLDEST = "SELECT least(min(d.embedded_at), min(c.embedded_at)) AS at FROM docs.documents AS d, docs.chunks AS c"
ANEW = "SELECT count(*) AS n FROM docs.documents WHERE embedded_at >= $1"


async def _fill(harness: Harness) -> set[str]:
    """Store documents, and replace and delete some; return the texts that no longer count."""
    await harness.publish(map(document, range(DOCUMENTS)))
    old = {document(n).text for n in range(20)} | {document(399).text}
    await harness.publish(document(n, "changed") for n in range(20))
    await harness.publish([Deletion("default", "doc-399")])
    await harness.catch_up()
    await harness.wait_until(harness.caught_up, "lag is 0")
    await harness.log.commit(dict.fromkeys(range(PARTITIONS), 0))
    return old


async def _assert_each_was_embedded_once_more(harness: Harness, old: set[str], moment: datetime, killed: int) -> None:
    await harness.assert_nothing_lost()
    assert (await harness.provider.stats()).repeated <= DOCUMENTS - 1 + killed
    for text in sorted(old)[:3]:
        assert await harness.provider.paid(text) == 1, "what is stale is not embedded again"
    [row] = await harness.index.fetch(OLDEST)
    assert row["at"] >= moment


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_forced_run_that_is_killed_goes_on_and_pays_only_for_the_rest(harness: Harness) -> None:
    old = await _fill(harness)
    moment = datetime.now(UTC)
    forced = {"worker__force_before": moment.isoformat()}
    await harness.provider.set(Behaviour(latency=Fixed(ms=100)))
    worker = harness.worker(**forced)

    async def some_are_done() -> bool:
        [row] = await harness.index.fetch(ANEW, moment)
        return int(row["n"]) > DOCUMENTS // 2

    await harness.wait_until(some_are_done, "some are embedded anew")
    await worker.kill()
    await harness.provider.set(Behaviour())

    async def is_reset() -> bool:
        await harness.log.commit(dict.fromkeys(range(PARTITIONS), 0))
        return True

    await harness.wait_until(is_reset, "the group has forgotten the worker", ends=True)
    harness.mended()
    await harness.catch_up(**forced)
    await _assert_each_was_embedded_once_more(harness, old, moment, IN_FLIGHT)

    before = await harness.provider.stats()
    rows = await harness.index.chunk_places()
    await harness.log.commit(dict.fromkeys(range(PARTITIONS), 0))
    await harness.catch_up(**forced)
    assert (await harness.provider.stats()).calls == before.calls
    assert await harness.index.chunk_places() == rows


async def test_workers_of_one_command_force_by_one_moment_also_after_one_was_killed(harness: Harness) -> None:
    old = await _fill(harness)
    moment = datetime.now(UTC)
    await harness.provider.set(Behaviour(latency=Fixed(ms=100)))
    parent = harness.worker("--workers", "2", "--force", "--set", "http.port=0")

    async def some_are_done() -> bool:
        [row] = await harness.index.fetch(ANEW, moment)
        return int(row["n"]) > DOCUMENTS // 2

    await harness.wait_until(some_are_done, "some are embedded anew")
    os.kill(_children(parent.pid)[0], signal.SIGKILL)
    await harness.provider.set(Behaviour())
    harness.mended()
    await _assert_each_was_embedded_once_more(harness, old, moment, IN_FLIGHT)
    assert await parent.stop() in (0, 9)
