"""One text of a call is refused by the embedding API, and one row by PostgreSQL.

Invariant: what is refused is dead-lettered alone, with the reason; every neighbour of its call and of its transaction
is stored.
Fault: 400 for each call that holds the poison; a trigger that raises SQLSTATE 22000 for one id.
"""

from compose.fake_provider.behaviour import Behaviour, Fault
from schemas.dead_letters import Record
from tests.scenarios.harness import Harness, document
from tests.scenarios.log import Sent

REFUSING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 'doc-13' THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '22000'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON docs.documents FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def _told(letter: Sent) -> tuple[bytes | None, bytes | None]:
    told = dict(letter.headers)
    return told["headrace-dlq-stage"], told["headrace-dlq-code"]


async def _assert_all_but_these(harness: Harness, *numbers: int) -> list[Sent]:
    """Assert that these alone are dead letters and all others are stored; return the dead letters."""
    for number in numbers:
        del harness.expected["default", f"doc-{number}"]
    letters = await harness.log.dead_letters()
    assert sorted(letter.key or b"" for letter in letters) == sorted(f"doc-{number}".encode() for number in numbers)
    assert await harness.index.chunks() == harness.expected
    assert await harness.caught_up()
    return letters


async def test_a_text_that_the_provider_refuses_is_dead_lettered_alone(harness: Harness) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="bad-request", containing="poison"),)))
    poisons = (0, 17, 18)
    await harness.publish(document(n, "poison" if n in poisons else "good") for n in range(64))
    await harness.catch_up(provider__max_items=32)
    letters = await _assert_all_but_these(harness, *poisons)
    assert {_told(letter) for letter in letters} == {(b"embed", b"input-rejected")}
    assert await harness.embedded_again() == set(), "a neighbour was paid twice"


async def test_a_poison_in_a_quiet_hour_is_told_from_an_outage_by_a_good_text(harness: Harness) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="unprocessable", containing="poison"),)))
    await harness.publish([document(1, "poison")])
    await harness.catch_up()
    [letter] = await _assert_all_but_these(harness, 1)
    assert _told(letter) == (b"embed", b"input-rejected")


async def test_a_row_that_the_database_refuses_is_dead_lettered_alone(harness: Harness) -> None:
    async with harness.index.connection() as connection:
        await connection.execute(REFUSING)
    sent = await harness.publish(map(document, range(40)))
    await harness.catch_up()
    [letter] = await _assert_all_but_these(harness, 13)
    assert _told(letter) == (b"write", b"row-rejected")
    original: Record = Record(sent[13].key, sent[13].value, sent[13].headers)
    assert (letter.value, letter.headers[: len(original.headers)]) == (original.value, original.headers)
