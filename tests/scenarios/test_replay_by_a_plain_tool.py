"""A dead letter is copied back to the source topic by a tool that knows nothing of us, fails, and is copied again.

Invariant: the copy is believed to be the message that first came: its second dead letter has the same origin and the
same original bytes, no header twice; when it is stored at last, then under its first origin, and it replaces nothing
that came later.
Fault: a plain producer sends key, value and headers of a dead letter as they are.
"""

from collections import Counter

from schemas.headers import DLQ_PREFIX, is_ours
from tests.scenarios.harness import Harness, document
from tests.scenarios.log import Sent
from tests.scenarios.replaying import STRICT, assert_all_stored, die, long


async def _copy_back(harness: Harness, letter: Sent) -> None:
    async with harness.log.producer() as producer:
        await producer.send_and_wait(harness.log.topic, letter.value, letter.key, headers=list(letter.headers))


def _origin(letter: Sent) -> dict[str, bytes | None]:
    told = dict(letter.headers)
    return {name: told[DLQ_PREFIX + name] for name in ("topic", "partition", "offset", "timestamp", "timestamp-type")}


async def test_a_dead_letter_copied_back_by_a_plain_tool_keeps_its_first_origin(harness: Harness) -> None:
    await die(harness, [long(1), long(2, "old")])
    first = {letter.key: letter for letter in await harness.log.dead_letters()}
    for letter in first.values():
        await _copy_back(harness, letter)
    await harness.catch_up(**STRICT)
    second = {letter.key: letter for letter in (await harness.log.dead_letters()) if letter not in first.values()}
    assert second.keys() == first.keys() == {b"doc-1", b"doc-2"}
    for key, letter in second.items():
        names = Counter(name for name, _ in letter.headers)
        assert names == Counter(name for name, _ in first[key].headers)
        assert max(names.values()) == 1
        assert _origin(letter) == _origin(first[key])
        assert letter.value == first[key].value
        assert [one for one in letter.headers if not is_ours(one[0])] == [
            one for one in first[key].headers if not is_ours(one[0])
        ]

    await harness.publish([document(2, "new")])
    for letter in second.values():
        await _copy_back(harness, letter)
    await assert_all_stored(harness)
    assert len(await harness.log.dead_letters()) == 4
