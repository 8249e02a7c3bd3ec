"""``headrace index build``: an index over the vectors, so that a search need not compare all of them."""

import asyncio
import re
import sys
from typing import Annotated, Literal

import msgspec
import typer

from compose.cli.console import stderr, stdout
from compose.cli.errors import INTERRUPTED
from compose.cli.index import described, named
from compose.cli.options import Json, configured
from compose.cli.watching import watched
from consumers.stores.building import Build, Built, Order
from consumers.stores.catalog import Catalog
from schemas.catalog import Progress
from schemas.errors import ConfigurationError

MEMORY = re.compile(r"\d{1,6}(kB|MB|GB)")

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The index; that of the settings by default.")]
Kind = Annotated[Literal["hnsw", "ivfflat"], typer.Option(help="hnsw finds better, ivfflat is built faster.")]
M = Annotated[int | None, typer.Option("--m", min=2, max=100, metavar="N", help="hnsw: neighbours of a vector; 16.")]
Ef = Annotated[int | None, typer.Option(min=4, max=1000, metavar="N", help="hnsw: candidates while it is built; 64.")]
Lists = Annotated[
    int | None, typer.Option(min=1, max=32768, metavar="N", help="ivfflat: lists; a thousandth of the chunks.")
]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="What PostgreSQL may use, such as 4GB; what the graph takes, 1 GB at most."),
]
Parallel = Annotated[
    int | None, typer.Option(min=0, max=64, metavar="N", help="Processes that help; as the server is set.")
]
Again = Annotated[bool, typer.Option("--again", help="Replace the one that is there, once the new one is.")]


async def build(  # noqa: PLR0913 - an option each
    *,
    name: Name = None,
    kind: Kind = "hnsw",
    m: M = None,
    ef_construction: Ef = None,
    lists: Lists = None,
    maintenance_memory: Memory = None,
    parallel: Parallel = None,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Build a vector index, while workers go on writing.

    It makes searches fast and writes slower: build it after the first load. Above 2,000 dimensions, and for halfvec, it
    holds numbers in half precision; above 4,000 there is none. What an interrupted build has left is removed. With
    --json a line tells how far it is, now and then, and the last one what was built. With store.ddl = false the SQL
    is printed for a DBA instead of run.

    Examples:
        headrace index build
        headrace index build docs_v2 --maintenance-memory 8GB --parallel 4
        headrace index build docs --again --m 32 --ef-construction 128
        headrace index build docs --kind ivfflat --lists 500
    """
    _see_that_it_makes_sense(kind, m=m, ef_construction=ef_construction, lists=lists, memory=maintenance_memory)
    settings = (configured("store.dsn") if name is None else named(name)).settings
    index = settings.store.index
    order = Order(kind, m, ef_construction, lists, maintenance_memory, parallel, again)
    chunks = (await Catalog(settings.store).index(index)).counts.chunks
    building = Build(settings.store, index, order)
    if not settings.store.ddl:
        sys.stdout.write(await building.script(chunks))
        return
    built = await _watched(building, chunks, as_json=as_json)
    if as_json:
        _write_line(built)
    else:
        _tell(built)


def _see_that_it_makes_sense(
    kind: str, *, m: int | None, ef_construction: int | None, lists: int | None, memory: str | None
) -> None:
    if kind == "hnsw" and lists is not None:
        raise ConfigurationError("--lists is for --kind ivfflat")
    if kind == "ivfflat" and (m is not None or ef_construction is not None):
        raise ConfigurationError("--m and --ef-construction are for --kind hnsw")
    if (ef_construction or 64) < 2 * (m or 16):
        raise ConfigurationError(f"--ef-construction has to be at least twice --m, {2 * (m or 16)} here")
    if memory is not None and not MEMORY.fullmatch(memory):
        raise ConfigurationError(f"--maintenance-memory {memory}: write a size such as 512MB or 4GB")


async def _watched(building: Build, chunks: int, *, as_json: bool) -> Built:
    """Build, and show how far it is. When interrupted, wait until what was begun is taken back."""
    last = Progress("preparing", None, 0.0)

    def observe(progress: Progress) -> None:
        nonlocal last
        last = progress
        if as_json:
            _write_line(progress)

    def stop() -> None:
        task.cancel()

    task = asyncio.create_task(building.run(chunks, observe))
    try:
        async with watched(lambda: (int(100 * (last.done or 0)), 100, f"% {last.phase}"), stop):
            return await task
    except asyncio.CancelledError:
        stderr().print("interrupted: what was begun is taken back")
        raise typer.Exit(INTERRUPTED) from None


def _write_line(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def _tell(built: Built) -> None:
    console = stdout()
    for name in built.leftovers:
        console.print(f"removed {name}, which an interrupted build had left")
    for name in built.replaced:
        console.print(f"removed {name}, which it replaces")
    console.print(
        f"built {described(built.vector_index)} for {built.index} in {built.seconds:,.1f} s, "
        f"with {built.memory_mib:,} MiB at most"
    )
