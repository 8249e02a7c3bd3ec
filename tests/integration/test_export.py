"""Exports of a real index: what is in the files, what moment they are of, and what a second run keeps."""

import asyncio
import errno
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Literal

import asyncpg
import msgspec
import numpy as np
import pytest
from pydantic import SecretStr

from consumers.export import Export, Order, Tally
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.reading import Snapshot
from schemas import sql
from schemas.errors import ConfigurationError, HeadraceError
from schemas.exports import DType, Manifest, Row, Scope
from schemas.index import Change, DocumentKey
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, at, delete, packed, put, touch, vector


@pytest.fixture
def settings(database: str) -> StoreSettings:
    return StoreSettings(dsn=SecretStr(database))


@pytest.fixture
async def store(settings: StoreSettings) -> AsyncIterator[PgVectorStore]:
    async with PgVectorStore(settings) as store:
        await store.create(FINGERPRINT)
        yield store


class Exported:
    """What lies in a folder."""

    def __init__(self, folder: Path) -> None:
        self.manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
        self.lines: list[dict[str, Any]] = [
            json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()
        ]
        self.matrix = np.load(folder / "vectors.npy", mmap_mode="r")

    @property
    def keys(self) -> list[tuple[str, str, int]]:
        return [(line["tenant"], line["id"], line["ordinal"]) for line in self.lines]


class Stopped(Export):
    """A run that is ended in the middle of its rows, as by a signal."""

    AFTER = 4

    async def _rows(
        self, taken: Snapshot, behind: DocumentKey | None
    ) -> AsyncGenerator[tuple[list[Row], list[bytes]], None]:
        async for group in taken.rows(self._order.scope, 2, behind=behind):
            if self.tally.rows >= self.AFTER:
                self.stop()
            yield group


class Overtaken(Export):
    """A run in the middle of which a worker writes."""

    def __init__(self, settings: StoreSettings, folder: Path, store: PgVectorStore, changes: Sequence[Change]) -> None:
        super().__init__(settings, folder, Order(Scope(), with_text=True))
        self._store = store
        self._changes = changes

    async def _manifest(self, taken: Snapshot) -> Manifest:
        manifest = await super()._manifest(taken)
        await self._store.write(self._changes)
        return manifest


async def export(
    settings: StoreSettings,
    folder: Path,
    scope: Scope | None = None,
    kind: type[Export] = Export,
    dtype: DType = "float32",
    **how: bool,
) -> Tally:
    running = kind(settings, folder, Order(scope or Scope(), dtype, **how))
    await running.run()
    return running.tally


DOCUMENTS: list[Change] = [
    put("a", "one", "two", "three", origin=at(1), metadata='{"n": 1, "deep": {"er": "x"}}'),
    put("b", "four", origin=at(2), version=7),
    put("gone", "five", origin=at(3)),
    put("a", "six", "seven", origin=at(4), tenant="we"),
    put("z", "eight", origin=at(5), tenant="we", metadata='{"n": 2}'),
]
TEXTS = ["one", "two", "three", "four", "six", "seven", "eight"]


async def fill(store: PgVectorStore) -> None:
    await store.write(DOCUMENTS)
    await store.write([delete("gone", origin=at(6))])
    await store.save_positions("g", "docs.raw", {0: 7, 1: 3})


async def test_an_export_holds_each_vector_beside_the_line_that_says_what_it_is(
    store: PgVectorStore, settings: StoreSettings, folder: Path
) -> None:
    await fill(store)
    await export(settings, folder / "new" / "folder", with_text=True)
    found = Exported(folder / "new" / "folder")
    assert [line["text"] for line in found.lines] == TEXTS
    assert found.keys[:4] == [("default", "a", 0), ("default", "a", 1), ("default", "a", 2), ("default", "b", 0)]
    assert found.matrix.dtype == np.dtype("<f4")
    assert [row.astype(">f4").tobytes() for row in found.matrix] == [vector(text) for text in TEXTS]
    assert found.lines[0]["metadata"] == {"n": 1, "deep": {"er": "x"}}
    assert found.lines[3] == {
        "tenant": "default", "id": "b", "ordinal": 0, "revision": 1, "origin": ["docs.raw", 0, 2, 1_002_000],
        "chunks": 1, "version": 7, "title": "title of b", "text": "four",
    }  # fmt: skip


async def test_the_manifest_says_of_which_moment_and_model_it_is(
    store: PgVectorStore, settings: StoreSettings, folder: Path
) -> None:
    await fill(store)
    await export(settings, folder)
    manifest = Exported(folder).manifest
    assert (manifest.complete, manifest.rows, manifest.dimensions, manifest.dtype) == (True, 7, 3, "float32")
    assert (manifest.fingerprint, manifest.digest) == (FINGERPRINT, FINGERPRINT.digest)
    places = [(one.group, one.topic, one.partition, one.next_offset) for one in manifest.positions]
    assert places == [("g", "docs.raw", 0, 7), ("g", "docs.raw", 1, 3)]
    assert manifest.snapshot_at.utcoffset() is not None


@pytest.mark.parametrize(
    ("scope", "texts"),
    [
        (Scope("we"), ["six", "seven", "eight"]),
        (Scope(where=('{"deep": {"er": "x"}}', '{"n": 2}')), ["one", "two", "three", "eight"]),
        (Scope("we", ('{"n": 2}',)), ["eight"]),
        (Scope("nobody"), []),
    ],
)
async def test_an_export_is_of_a_tenant_or_of_what_metadata_says(
    store: PgVectorStore, settings: StoreSettings, folder: Path, scope: Scope, texts: list[str]
) -> None:
    await fill(store)
    await export(settings, folder, scope, with_text=True)
    found = Exported(folder)
    assert [line["text"] for line in found.lines] == texts
    assert found.matrix.shape == (len(texts), 3)
    assert found.manifest.scope == scope


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("vector_type", ["vector", "halfvec"])
async def test_vectors_and_halves_are_written_as_either(
    settings: StoreSettings, folder: Path, vector_type: Literal["vector", "halfvec"], dtype: DType
) -> None:
    there = settings.model_copy(update={"vector_type": vector_type})
    async with PgVectorStore(there) as store:
        await store.create(msgspec.structs.replace(FINGERPRINT, vector_type=vector_type))
        await store.write(DOCUMENTS[:1])
    await export(settings, folder, dtype=dtype)  # whatever the settings say the column is
    found = Exported(folder)
    assert found.matrix.dtype == np.dtype(dtype)
    wanted = [np.frombuffer(vector(text), ">f4") for text in TEXTS[:3]]
    assert np.allclose(found.matrix, wanted, atol=1e-3)


async def test_a_number_too_large_for_a_half_is_told_and_does_not_become_infinite(
    store: PgVectorStore, settings: StoreSettings, folder: Path
) -> None:
    change = put("a", "x", origin=at(1))
    change.chunks[0].vector = packed(1, 1e9, 0)
    await store.write([change])
    with pytest.raises(HeadraceError, match="float32"):
        await export(settings, folder, dtype="float16")


async def test_what_is_written_meanwhile_is_not_seen(
    store: PgVectorStore, settings: StoreSettings, folder: Path
) -> None:
    await fill(store)
    changes = [put("0", "new", origin=at(91)), put("a", "new", origin=at(90)), delete("b", origin=at(92))]
    await Overtaken(settings, folder, store, changes).run()
    assert [line["text"] for line in Exported(folder).lines] == TEXTS


async def test_a_run_that_was_stopped_goes_on_behind_the_last_whole_document(
    store: PgVectorStore, settings: StoreSettings, folder: Path
) -> None:
    await fill(store)
    stopped = await export(settings, folder, kind=Stopped)
    assert (stopped.interrupted, stopped.rows) == (True, 4)
    assert not Exported(folder).manifest.complete
    with (folder / "rows.jsonl").open("ab") as lines:
        lines.write(b'{"half a li')
    resumed = await export(settings, folder, resume=True)
    assert (resumed.kept, resumed.rows, resumed.total) == (4, 7, 7)
    found = Exported(folder)
    assert (found.manifest.complete, found.manifest.kept_rows) == (True, 4)
    assert [row.astype(">f4").tobytes() for row in found.matrix] == [vector(text) for text in TEXTS]
    assert len(found.lines) == 7


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        pytest.param(put("b", "other", origin=at(90)), 3, id="a document with another text"),
        pytest.param(touch("b", "four", origin=at(90), metadata='{"n": 3}'), 3, id="other metadata, the same vectors"),
        pytest.param(delete("b", origin=at(90)), 3, id="a document less"),
        pytest.param(put("0", "zero", origin=at(90)), 0, id="a document more, before all others"),
        pytest.param(put("z", "other", origin=at(90), tenant="we"), 4, id="a document that was not reached"),
    ],
)
async def test_a_run_that_goes_on_keeps_what_is_the_same_and_is_all_of_its_own_moment(
    store: PgVectorStore, settings: StoreSettings, folder: Path, change: Change, kept: int
) -> None:
    await fill(store)
    await export(settings, folder / "resumed", kind=Stopped)
    await store.write([change])
    assert (await export(settings, folder / "resumed", resume=True)).kept == kept
    await export(settings, folder / "whole")
    resumed, whole = Exported(folder / "resumed"), Exported(folder / "whole")
    assert resumed.lines == whole.lines
    assert np.array_equal(resumed.matrix, whole.matrix)


async def test_a_folder_is_not_touched_unless_somebody_says_so(
    store: PgVectorStore, settings: StoreSettings, folder: Path
) -> None:
    await fill(store)
    await export(settings, folder)
    with pytest.raises(ConfigurationError, match="not empty"):
        await export(settings, folder)
    assert (await export(settings, folder, resume=True)).kept == 7, "a complete one is left as it is"
    await store.write([put("c", "nine", origin=at(9))])
    (folder / "notes").write_text("mine")
    assert (await export(settings, folder, overwrite=True)).rows == 8
    assert (folder / "notes").exists()


async def test_the_beginning_of_another_export_is_not_gone_on_with(
    store: PgVectorStore, settings: StoreSettings, folder: Path, database: str
) -> None:
    await fill(store)
    await export(settings, folder, kind=Stopped)
    with pytest.raises(ConfigurationError, match="another export"):
        await export(settings, folder, resume=True, dtype="float16")
    with pytest.raises(ConfigurationError, match="another export"):
        await export(settings, folder, Scope("we"), resume=True)
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE docs.about SET created_at = now()")
    await connection.close()
    with pytest.raises(ConfigurationError, match="made anew"):
        await export(settings, folder, resume=True)
    (folder / "else").mkdir()
    (folder / "else" / "file").touch()
    with pytest.raises(ConfigurationError, match="no export to go on with"):
        await export(settings, folder / "else", resume=True)


async def test_a_full_disk_is_told_before_anything_is_mapped(
    store: PgVectorStore, settings: StoreSettings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*asked: int) -> None:
        assert asked[1:] == (0, 128 + 7 * 3 * 4)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    await fill(store)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(HeadraceError, match="No space left on device"):
        await export(settings, folder)
    monkeypatch.undo()
    assert (await export(settings, folder, resume=True)).rows == 7


async def test_two_exports_do_not_write_to_one_folder(
    store: PgVectorStore, settings: StoreSettings, folder: Path
) -> None:
    await fill(store)
    two = await asyncio.gather(*(export(settings, folder, overwrite=True) for _ in range(2)), return_exceptions=True)
    [refused] = [one for one in two if isinstance(one, Exception)]
    assert "another export writes" in str(refused)
    assert Exported(folder).manifest.complete


async def test_rows_come_in_order_without_being_sorted(store: PgVectorStore, database: str) -> None:
    await fill(store)
    connection = await asyncpg.connect(database)
    queries = sql.queries({"index": "docs", "vector_schema": ""})
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL enable_seqscan = off")
            await connection.execute(queries["read_steadily"])
            asked = (None, None, "default", "a")
            plans = [
                str(await connection.fetch(f"EXPLAIN {queries['rows']}", *asked, True)),  # noqa: FBT003 - with the text
                str(await connection.fetch(f"EXPLAIN {queries['states']}", *asked[:2])),
            ]
    finally:
        await connection.close()
    assert [("Sort" in plan, "Hash" in plan, "Index Scan" in plan) for plan in plans] == [(False, False, True)] * 2
