"""What is written as an array of PostgreSQL's is read by it as what it was."""

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.stores.columns import digests, numbers, texts

TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8")) | st.sampled_from(
    ["", "NULL", "null", '"', "\\", '","', "a,b", "{a}", " a ", "\n", '{"a": "b\\"c\\\\"}']
)
INT64 = st.integers(-(2**63), 2**63 - 1)
ASK = "SELECT $1::text::text[], $2::text::bigint[], $3::text::bytea[], $4::text::boolean[]"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lists=st.lists(
        st.tuples(
            st.lists(TEXTS) | st.lists(TEXTS | st.none()),
            st.lists(INT64 | st.none()),
            st.lists(st.binary() | st.none()) | st.lists(st.binary(min_size=3, max_size=3)),
            st.lists(st.booleans()),
        ),
        min_size=20,
    )
)
async def test_texts_numbers_and_digests_come_back_as_they_were(
    database: str,
    lists: list[tuple[list[str | None], list[int | None], list[bytes | None], list[bool]]],
) -> None:
    connection = await asyncpg.connect(database)
    try:
        for some_texts, some_numbers, some_digests, truths in lists:
            written = texts(some_texts), numbers(some_numbers), digests(some_digests), numbers(truths)
            read = await connection.fetchrow(ASK, *written)
            assert read is not None
            assert tuple(read) == (some_texts, some_numbers, some_digests, truths)
    finally:
        await connection.close()
