"""What every store promises, held against the real one and its twin in memory."""

from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest
from pydantic import SecretStr

from consumers.stores.memory import MemoryStore
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.protocol import Store
from schemas.errors import RowRejected, StoreMisconfigured
from schemas.index import Change, ChunkRow, Counts, Outcome, Standing
from schemas.messages import Origin
from schemas.settings import StoreSettings
from schemas.spending import Spent
from tests.contract.changes import (
    CREATED,
    FINGERPRINT,
    at,
    delete,
    hashed,
    hits,
    look_up,
    packed,
    put,
    texts,
    touch,
    vector,
)

AGAIN, STORED, SUPERSEDED = Outcome.AGAIN, Outcome.STORED, Outcome.SUPERSEDED
DELETED, UNCHANGED = Outcome.DELETED, Outcome.UNCHANGED


async def write(store: Store, *changes: Change) -> list[Outcome]:
    return await store.write(changes)


async def standing(store: Store, change: Change) -> Standing:
    [found] = await look_up(store, [change])
    return found


class StoreContract:
    """Every test here runs against each store."""

    # What operators want

    async def test_orders_are_kept_until_they_are_given_anew(self, store: Store) -> None:
        await store.give_orders({"pause/g": "yes", "resume/g": "yes"}, "ann")
        [before] = await store.orders(["pause/g", "pause/other"])
        await store.give_orders({"pause/g": "no"}, "bob")
        [after] = await store.orders(["pause/g"])
        assert [(one.value, one.by) for one in (before, after)] == [("yes", "ann"), ("no", "bob")]
        assert before.at < after.at

    # What was spent

    async def test_what_is_spent_adds_up_over_calls_and_tenants(self, store: Store) -> None:
        assert await store.spend({}) == Spent()
        await store.spend({"b": Spent(10, 1, Decimal("0.1")), "a": Spent(5, 2)})
        assert await store.spend({"a": Spent(1, 1, Decimal("0.2"))}) == Spent(16, 4, Decimal("0.3"))
        assert await store.spend({}) == Spent(16, 4, Decimal("0.3"))
        rows = await store.spent(1)
        assert [(row.tenant, row.spent) for row in rows] == [
            ("a", Spent(6, 3, Decimal("0.2"))),
            ("b", Spent(10, 1, Decimal("0.1"))),
        ]

    # What a look-up says

    async def test_a_document_never_seen_is_absent(self, store: Store) -> None:
        assert await standing(store, put("a", "text", origin=at(1))) is Standing.ABSENT

    async def test_the_same_origin_again_is_a_redelivery(self, store: Store) -> None:
        first = put("a", "text", origin=at(1))
        await write(store, first)
        assert await standing(store, first) is Standing.REDELIVERED

    async def test_the_same_content_under_a_newer_origin_is_unchanged_and_another_is_changed(
        self, store: Store
    ) -> None:
        await write(store, put("a", "text", origin=at(1)))
        assert await standing(store, put("a", "text", origin=at(2))) is Standing.UNCHANGED
        assert await standing(store, put("a", "other", origin=at(2))) is Standing.CHANGED

    async def test_an_older_origin_is_superseded_whatever_it_says(self, store: Store) -> None:
        await write(store, put("a", "text", origin=at(2)))
        assert await standing(store, put("a", "text", origin=at(1))) is Standing.SUPERSEDED
        assert await standing(store, put("a", "other", origin=at(1))) is Standing.SUPERSEDED

    async def test_answers_of_a_look_up_stand_in_the_order_of_its_questions(self, store: Store) -> None:
        await write(store, put("b", "text", origin=at(2)))
        asked = [put("c", "x", origin=at(3)), put("b", "text", origin=at(2)), put("a", "x", origin=at(4))]
        found = await look_up(store, asked)
        assert found == [Standing.ABSENT, Standing.REDELIVERED, Standing.ABSENT]

    async def test_one_id_in_two_tenants_is_two_documents(self, store: Store) -> None:
        await write(store, put("a", "ours", origin=at(1), tenant="we"), put("a", "theirs", origin=at(2), tenant="they"))
        assert (await texts(store, "a", "we"), await texts(store, "a", "they")) == (["ours"], ["theirs"])

    # The fence

    @pytest.mark.parametrize(
        ("stored", "coming", "wins"),
        [
            pytest.param(at(1), at(2), True, id="a later offset of the partition"),
            pytest.param(at(2), at(1), False, id="an earlier offset of the partition"),
            pytest.param(at(1, 500), at(2, 500), True, id="timestamps tie within a produce batch"),
            pytest.param(at(2, 500), at(1, 500), False, id="timestamps tie the other way round"),
            pytest.param(at(90, 500), at(3, 501), True, id="a topic made anew starts its offsets again"),
            pytest.param(at(1, 60_500), at(2, 500), True, id="a clock of the broker that went back a minute"),
            pytest.param(at(1, 60_501), at(2, 500), False, id="appended over a minute before what won"),
            pytest.param(
                at(1, 99_999, by=CREATED), at(2, 1, by=CREATED), True, id="a producer's clock does not reorder"
            ),
            pytest.param(at(5, 500), at(1, 501, partition=1), True, id="another partition, later"),
            pytest.param(at(1, 501), at(5, 500, partition=1), False, id="another partition, earlier"),
            pytest.param(at(9, 500), at(1, 500, partition=1), True, id="a tie goes to the greater partition"),
            pytest.param(at(1, 500, partition=1), at(9, 500), False, id="a tie goes not to the smaller partition"),
            pytest.param(
                at(9, 500, partition=9, topic="A"), at(1, 500, topic="a"), True, id="a tie of topics, by bytes"
            ),
            pytest.param(at(1, 500, topic="a"), at(9, 500, partition=9, topic="Z"), False, id="bytes, not letters"),
        ],
    )
    async def test_order_in_the_log_decides(self, store: Store, stored: Origin, coming: Origin, *, wins: bool) -> None:
        await write(store, put("a", "stored", origin=stored))
        assert await write(store, put("a", "coming", origin=coming)) == [STORED if wins else SUPERSEDED]
        assert await texts(store, "a") == ["coming" if wins else "stored"]

    @pytest.mark.parametrize(
        ("stored", "coming", "wins"),
        [
            pytest.param((at(1), 2), (at(2), 1), False, id="a lower version is stale although it came later"),
            pytest.param((at(2), 1), (at(1), 2), True, id="a higher version wins although it came earlier"),
            pytest.param((at(1), 7), (at(2), 7), True, id="equal versions leave it to the log"),
            pytest.param((at(2), 7), (at(1), 7), False, id="equal versions, an earlier offset"),
            pytest.param((at(1), 7), (at(2), None), True, id="without a version the log decides"),
            pytest.param((at(2), None), (at(1), 7), False, id="a version against none, an earlier offset"),
            pytest.param((at(1), -(2**63)), (at(2), 2**63 - 1), True, id="versions of 64 bits"),
        ],
    )
    async def test_versions_decide_before_the_log(
        self, store: Store, stored: tuple[Origin, int | None], coming: tuple[Origin, int | None], *, wins: bool
    ) -> None:
        await write(store, put("a", "stored", origin=stored[0], version=stored[1]))
        outcome = await write(store, put("a", "coming", origin=coming[0], version=coming[1]))
        assert outcome == [STORED if wins else SUPERSEDED]

    async def test_a_deletion_without_a_version_keeps_the_stored_one(self, store: Store) -> None:
        await write(store, put("a", "text", origin=at(1), version=5))
        assert await write(store, delete("a", origin=at(2))) == [DELETED]
        assert await write(store, put("a", "older", origin=at(3), version=4)) == [SUPERSEDED]
        assert await write(store, put("a", "newer", origin=at(4), version=6)) == [STORED]

    async def test_the_greatest_timestamp_that_ever_won_is_kept(self, store: Store) -> None:
        await write(store, put("a", "one", origin=at(1, 90_000, by=CREATED)))
        await write(store, put("a", "two", origin=at(2, 10, by=CREATED)))
        assert await write(store, put("a", "three", origin=at(9, 50_000, partition=1, by=CREATED))) == [SUPERSEDED]

    async def test_a_record_that_is_read_again_behind_a_clock_that_ran_backwards_holds_what_is_before_it(
        self, store: Store
    ) -> None:
        before = put("a", "before", origin=at(1, 900, by=CREATED))
        later = put("a", "later", origin=at(2, 100, by=CREATED))
        await write(store, later)  # as its replay, which knows only its own timestamp
        read_again = msgspec.structs.replace(later, fence_ts=900)
        assert await standing(store, read_again) is Standing.UNCHANGED
        moved = touch("a", "later", origin=later.origin)
        assert await write(store, msgspec.structs.replace(moved, fence_ts=900)) == [UNCHANGED]
        assert await standing(store, read_again) is Standing.REDELIVERED
        assert await write(store, before) == [SUPERSEDED]

    async def test_a_timestamp_from_the_future_counts_as_what_the_candidate_says(self, store: Store) -> None:
        await write(store, put("a", "one", origin=at(1, 10**15), fence_ts=1_000))
        assert await write(store, put("a", "two", origin=at(1, 1_001, partition=1))) == [STORED]

    # What a write leaves

    async def test_a_shorter_document_leaves_no_chunk_of_the_longer_one(self, store: Store) -> None:
        await write(store, put("a", "1", "2", "3", origin=at(1)), put("b", "1", "2", origin=at(2)))
        await write(store, put("a", "4", origin=at(3)))
        assert (await texts(store, "a"), await texts(store, "b")) == (["4"], ["1", "2"])

    async def test_a_redelivered_write_is_unchanged_or_deleted(self, store: Store) -> None:
        changes = put("a", "text", origin=at(1)), delete("b", origin=at(2))
        assert await write(store, *changes) == [STORED, DELETED]
        assert await write(store, *changes) == [UNCHANGED, DELETED]

    async def test_a_deletion_removes_the_chunks_and_holds_the_fence(self, store: Store) -> None:
        await write(store, put("a", "text", origin=at(5)))
        assert await write(store, delete("a", origin=at(6))) == [DELETED]
        assert await texts(store, "a") == []
        assert await write(store, put("a", "late", origin=at(4))) == [SUPERSEDED]

    async def test_the_deletion_of_an_unknown_id_holds_the_fence(self, store: Store) -> None:
        assert await write(store, delete("a", origin=at(6))) == [DELETED]
        assert await standing(store, put("a", "late", origin=at(5))) is Standing.SUPERSEDED
        assert await write(store, put("a", "late", origin=at(5))) == [SUPERSEDED]
        assert await store.counts() == Counts(documents=0, chunks=0, tombstones=1)

    async def test_the_same_text_after_a_deletion_is_stored_again(self, store: Store) -> None:
        await write(store, put("a", "text", origin=at(1)), delete("a", origin=at(2)))
        again = put("a", "text", origin=at(3))
        assert await standing(store, again) is Standing.ABSENT
        assert await write(store, again) == [STORED]
        assert await texts(store, "a") == ["text"]

    async def test_an_empty_group_is_nothing_to_do(self, store: Store) -> None:
        assert await write(store) == []
        assert await look_up(store, []) == []
        assert await store.stored_hashes([]) == {}

    # Touches

    async def test_a_touch_moves_the_fence_and_writes_the_metadata(self, store: Store) -> None:
        await write(store, put("a", "text", origin=at(1), metadata='{"n": 1}'))
        assert await write(store, touch("a", "text", origin=at(5), metadata='{"n": 2}')) == [UNCHANGED]
        assert [hit.metadata for hit in await hits(store)] == ['{"n": 2}']
        assert await write(store, put("a", "older", origin=at(4))) == [SUPERSEDED]

    async def test_a_touch_whose_content_is_no_longer_stored_falls_back_and_the_others_are_written(
        self, store: Store
    ) -> None:
        await write(store, put("a", "text", origin=at(1)), put("b", "text", origin=at(2)), delete("b", origin=at(3)))
        group = [
            touch("a", "another", origin=at(4)),
            touch("b", "text", origin=at(5)),
            touch("unknown", "text", origin=at(6)),
            put("c", "text", origin=at(7)),
        ]
        assert await write(store, *group) == [AGAIN, AGAIN, AGAIN, STORED]
        assert await standing(store, put("unknown", "text", origin=at(6))) is Standing.ABSENT
        assert await standing(store, put("a", "text", origin=at(1))) is Standing.REDELIVERED
        assert await texts(store, "c") == ["text"]

    async def test_a_touch_that_is_stale_or_a_redelivery_says_so(self, store: Store) -> None:
        await write(store, put("a", "text", origin=at(2)))
        assert await write(store, touch("a", "text", origin=at(1))) == [SUPERSEDED]
        assert await write(store, touch("a", "text", origin=at(2))) == [UNCHANGED]

    # A key several times in a group

    @pytest.mark.parametrize("backwards", [False, True])
    async def test_the_newest_of_a_group_is_written_and_the_others_are_superseded(
        self, store: Store, *, backwards: bool
    ) -> None:
        group = [put("a", f"text {n}", f"more {n}", origin=at(n)) for n in range(9)]
        outcomes = await write(store, *(reversed(group) if backwards else group))
        assert (list(reversed(outcomes)) if backwards else outcomes) == [SUPERSEDED] * 8 + [STORED]
        assert await texts(store, "a") == ["text 8", "more 8"]

    async def test_a_document_deleted_in_the_group_that_stores_it_is_gone(self, store: Store) -> None:
        group = [put("a", "text", origin=at(1)), delete("a", origin=at(2)), put("b", "text", origin=at(3))]
        assert await write(store, *group) == [SUPERSEDED, DELETED, STORED]
        assert (await texts(store, "a"), await texts(store, "b")) == ([], ["text"])

    async def test_a_document_stored_again_in_the_group_that_deletes_it_is_there(self, store: Store) -> None:
        await write(store, put("a", "one", "two", origin=at(1)))
        assert await write(store, delete("a", origin=at(2)), put("a", "one", origin=at(3))) == [SUPERSEDED, STORED]
        assert await texts(store, "a") == ["one"]

    async def test_a_deletion_without_a_version_keeps_that_of_its_own_group(self, store: Store) -> None:
        await write(store, put("a", "text", origin=at(1), version=3))
        group = put("a", "text", origin=at(2), version=5), delete("a", origin=at(3))
        assert await write(store, *group) == [SUPERSEDED, DELETED]
        assert await write(store, put("a", "text", origin=at(4), version=4)) == [SUPERSEDED]

    async def test_a_deletion_without_a_version_is_not_held_up_by_a_stale_neighbour_of_its_group(
        self, store: Store
    ) -> None:
        await write(store, put("a", "text", origin=at(1), version=7))
        group = put("a", "late", origin=at(2), version=5), delete("a", origin=at(3))
        assert await write(store, *group) == [SUPERSEDED, DELETED]
        assert await texts(store, "a") == []
        assert await write(store, put("a", "text", origin=at(4), version=6)) == [SUPERSEDED]

    async def test_a_group_whose_clock_runs_backwards_is_written_as_its_messages_came(self, store: Store) -> None:
        await write(store, put("a", "elsewhere", origin=at(1, 95, partition=1, by=CREATED)))
        group = [put("a", "one", origin=at(1, 100, by=CREATED)), put("a", "two", origin=at(2, 90, by=CREATED))]
        assert await write(store, *group) == [SUPERSEDED, STORED]
        assert await texts(store, "a") == ["two"]

    async def test_a_touch_behind_the_change_it_confirms_keeps_its_chunks(self, store: Store) -> None:
        group = [
            put("a", "new", origin=at(1, 100, by=CREATED)),
            touch("a", "new", origin=at(2, 90, by=CREATED), metadata='{"n": 2}'),
        ]
        assert await write(store, *group) == [SUPERSEDED, UNCHANGED]
        assert [(hit.text, hit.metadata) for hit in await hits(store)] == [("new", '{"n": 2}')]

    async def test_what_a_failed_touch_had_surpassed_is_written(self, store: Store) -> None:
        await write(store, put("a", "stored", origin=at(1)))
        group = [put("a", "new", origin=at(2)), touch("a", "never stored", origin=at(3))]
        assert await write(store, *group) == [STORED, AGAIN]
        assert await texts(store, "a") == ["new"]

    # Vectors that are kept

    async def test_a_changed_document_keeps_the_vectors_of_the_texts_it_keeps(self, store: Store) -> None:
        await write(store, put("a", "one", "two", "three", origin=at(1)))
        before = {hit.text: hit.score for hit in await hits(store)}
        change = put("a", "three", "new", "two", "one", "two", origin=at(2), kept=("one", "two", "three"))
        assert await write(store, change) == [STORED]
        after = await hits(store)
        assert [hit.text for hit in after] == ["three", "new", "two", "one", "two"]
        assert all(hit.score == pytest.approx(before.get(hit.text, hit.score)) for hit in after)

    async def test_a_document_whose_kept_vector_is_gone_leaves_the_group_alone(self, store: Store) -> None:
        await write(store, put("a", "one", origin=at(1)), put("b", "one", origin=at(2)))
        group = [
            put("a", "one", "two", origin=at(3), kept=("one", "two")),
            put("b", "one", "two", origin=at(4), kept=("one",)),
            put("c", "one", origin=at(5), kept=("one",)),
        ]
        assert await write(store, *group) == [AGAIN, STORED, AGAIN]
        assert await standing(store, put("a", "one", origin=at(1))) is Standing.REDELIVERED
        assert await standing(store, group[2]) is Standing.ABSENT
        assert (await texts(store, "a"), await texts(store, "b")) == (["one"], ["one", "two"])

    async def test_what_was_surpassed_by_a_document_that_leaves_is_written(self, store: Store) -> None:
        group = [put("a", "one", origin=at(1)), put("a", "two", origin=at(2), kept=("two",))]
        assert await write(store, *group) == [STORED, AGAIN]
        assert await texts(store, "a") == ["one"]

    async def test_stored_hashes_are_those_of_the_chunks(self, store: Store) -> None:
        await write(store, put("a", "one", "two", origin=at(1)), put("b", "x", origin=at(2)), delete("b", origin=at(3)))
        found = await store.stored_hashes([("default", "a"), ("default", "b"), ("default", "unknown")])
        assert found == {("default", "a"): frozenset({hashed("one"), hashed("two")})}

    # Values that can not be stored

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(
                msgspec.structs.replace(
                    put("bad", origin=at(3)), chunks=(ChunkRow("x", b"x", 1, packed(1, float("nan"), 0)),)
                ),
                id="not a number",
            ),
            pytest.param(
                msgspec.structs.replace(
                    put("bad", origin=at(3)), chunks=(ChunkRow("x", b"x", 1, packed(1, float("inf"), 0)),)
                ),
                id="infinite",
            ),
            pytest.param(
                msgspec.structs.replace(put("bad", origin=at(3)), chunks=(ChunkRow("x", b"x", 1, packed(1, 0)),)),
                id="too short a vector",
            ),
            pytest.param(
                msgspec.structs.replace(put("bad", origin=at(3)), chunks=(ChunkRow("x", b"x", 1, packed(1, 0)[:-1]),)),
                id="no vector at all",
            ),
            pytest.param(put("bad", "with \0 in it", origin=at(3)), id="NUL in a text"),
            pytest.param(
                put("".join(chr(300 + n * 7_919 % 40_000) for n in range(1_400)), "x", origin=at(3)),
                id="an id too long for an index",
            ),
        ],
    )
    async def test_a_value_that_can_not_be_stored_takes_its_group_back_whole(
        self, store: Store, change: Change
    ) -> None:
        await write(store, put("a", "one", "two", origin=at(1)))
        group = [put("a", "three", origin=at(2)), change, put("z", "four", origin=at(4)), delete("b", origin=at(5))]
        with pytest.raises(RowRejected) as refused:
            await write(store, *group)
        assert refused.value.sqlstate is not None
        assert refused.value.sqlstate[:2] in ("22", "54")
        assert await texts(store, "a") == ["one", "two"]
        assert await store.counts() == Counts(documents=1, chunks=2, tombstones=0)
        assert await write(store, group[0], group[2]) == [STORED, STORED]

    # Positions, the fingerprint, search

    async def test_positions_are_kept_for_each_group_and_topic_and_may_go_back(self, store: Store) -> None:
        await store.save_positions("g", "t", {0: 5, 1: 7})
        await store.save_positions("g", "t", {1: 3, 2: 1})
        await store.save_positions("other", "t", {0: 99})
        assert await store.load_positions("g", "t") == {0: 5, 1: 3, 2: 1}
        assert await store.load_positions("g", "unknown") == {}

    async def test_positions_advance_from_what_is_known_and_on_one_run_of_the_server(self, store: Store) -> None:
        server = await store.server()
        assert await store.advance_positions("g", "t", {0: 5, 1: 7}, {}, server)
        assert await store.advance_positions("g", "t", {0: 6, 2: 1}, {0: 5, 1: 7}, server)
        assert not await store.advance_positions("g", "t", {0: 5, 3: 1}, {0: 4}, server), "another owner was here"
        assert not await store.advance_positions("g", "t", {1: 8}, {}, server), "and where nothing was before"
        assert not await store.advance_positions("g", "t", {0: 9, 4: 1}, {0: 6, 4: 3}, server), "it was put back"
        assert not await store.advance_positions("g", "t", {0: 9}, {0: 6}, f"{server} later")
        assert await store.load_positions("g", "t") == {0: 6, 1: 7, 2: 1}
        assert await store.server() == server

    async def test_forgotten_positions_are_as_if_they_had_never_been_saved(self, store: Store) -> None:
        await store.save_positions("g", "t", {0: 5, 1: 7})
        await store.save_positions("g", "other", {0: 9})
        await store.forget_positions("g", "t", {0, 3})
        await store.forget_positions("unknown", "t", {0})
        assert await store.load_positions("g", "t") == {1: 7}
        assert await store.load_positions("g", "other") == {0: 9}

    async def test_an_index_has_documents_from_the_first_on_be_it_a_tombstone(self, store: Store) -> None:
        assert not await store.has_documents()
        await store.write([delete("a", origin=at(1))])
        assert await store.has_documents()

    async def test_the_index_says_what_it_holds_and_refuses_to_be_another(self, store: Store) -> None:
        assert isinstance(store, MemoryStore | PgVectorStore)
        assert await store.about() == FINGERPRINT
        assert await store.create(FINGERPRINT) == []
        with pytest.raises(StoreMisconfigured, match="name another index"):
            await store.create(msgspec.structs.replace(FINGERPRINT, model="another"))

    async def test_a_search_finds_the_nearest_first_with_what_belongs_to_it(self, store: Store) -> None:
        await write(
            store,
            put("a", "one", origin=at(1), metadata='{"n": 1}'),
            put("b", "two", "three", origin=at(2), tenant="we"),
        )
        best, *others = await store.search(vector("two"), limit=3)
        assert (best.tenant, best.id, best.ordinal, best.text, best.title) == ("we", "b", 0, "two", "title of b")
        assert best.score == pytest.approx(1, abs=1e-6)
        assert [hit.score for hit in others] == sorted((hit.score for hit in others), reverse=True)
        assert len(await store.search(vector("two"), limit=1)) == 1

    async def test_a_search_within_a_tenant_sees_no_other(self, store: Store) -> None:
        await write(store, put("a", "one", origin=at(1)), put("b", "two", origin=at(2), tenant="we"))
        assert [hit.id for hit in await store.search(vector("one"), limit=9, tenant="we")] == ["b"]

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            ((), ["a", "b", "c", "d"]),
            (['{"n": 1}'], ["a"]),
            (['{"n": "1"}'], ["b"]),
            (['{"n": 1}', '{"n": "1"}'], ["a", "b"]),
            (['{"deep": {"er": true}}'], ["a"]),
            (['{"deep": {"er": true}, "n": "1"}'], []),
            (['{"tags": ["y"]}'], ["b"]),
            (['{"tags": "y"}'], []),
            (['{"none": null}'], ["b"]),
            (["{}"], ["a", "b", "c"]),
        ],
    )
    async def test_a_search_sees_only_documents_whose_metadata_contains_what_is_asked_for(
        self, store: Store, where: list[str], found: list[str]
    ) -> None:
        await write(
            store,
            put("a", "one", origin=at(1), metadata='{"n": 1, "deep": {"er": true, "and": 2}}'),
            put("b", "two", origin=at(2), metadata='{"n": "1", "tags": ["x", "y"], "none": null}'),
            put("c", "three", origin=at(3), metadata="{}"),
            put("d", "four", origin=at(4)),
        )
        assert sorted(hit.id for hit in await store.search(vector("one"), limit=9, where=where)) == found

    async def test_a_search_with_a_vector_of_another_length_is_refused(self, store: Store) -> None:
        await write(store, put("a", "one", origin=at(1)))
        with pytest.raises(RowRejected):
            await store.search(packed(1, 0), limit=1)

    async def test_counts_leave_tombstones_out(self, store: Store) -> None:
        await write(store, put("a", "1", "2", origin=at(1)), put("b", "1", origin=at(2)), delete("b", origin=at(3)))
        assert await store.counts() == Counts(documents=1, chunks=2, tombstones=1)


class TestMemory(StoreContract):
    """The store in memory."""

    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore(FINGERPRINT)


class TestPgVector(StoreContract):
    """The store in PostgreSQL."""

    @pytest.fixture
    async def store(self, database: str) -> AsyncIterator[Store]:
        async with PgVectorStore(StoreSettings(dsn=SecretStr(database))) as store:
            await store.create(FINGERPRINT)
            yield store
