"""``headrace search``: the nearest chunks, in a terminal."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from compose.cli.console import indented, one_line, print_json, readable, show, stdout
from compose.cli.options import Json, configured
from compose.cli.scope import Tenant, Where, conditions
from compose.indexes import read_from_promoted
from consumers.providers.openai import OpenAIProvider
from consumers.stores.pgvector import PgVectorStore
from schemas.errors import ConfigurationError, IndexMismatch, MalformedReply, StoreMisconfigured
from schemas.index import Fingerprint, Hit
from schemas.settings import Settings

SNIPPET = 220
FROM = {"model": "provider.model", "dimensions": "provider.dimensions", "vector_type": "store.vector_type"}
"""Which setting has to say what an index says of its vectors."""

Words = Annotated[list[str], typer.Argument(metavar="WORDS…", help="What to look for.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many chunks.")]
Ef = Annotated[
    int | None,
    typer.Option(min=1, max=1000, metavar="N", help="Candidates that an HNSW index keeps: more find more, slower."),
]
Exact = Annotated[bool, typer.Option("--exact", help="Compare every chunk, without an index: to see what one misses.")]


async def search(
    *,
    words: Words,
    limit: Limit = 5,
    tenant: Tenant = None,
    where: Where = None,
    ef: Ef = None,
    exact: Exact = False,
    as_json: Json = False,
) -> None:
    """Find the nearest chunks.

    The words are embedded by the configured provider, and compared by cosine similarity: 1 is the same direction. The
    index is the one that is promoted, which applications read as well; --index names another.
    Filters never make it answer with less than --limit while there is more that passes them.

    Examples:
        headrace search "how do I parse a date"
        headrace search reset an offset --limit 3 --tenant acme
        headrace search "compress a file" --where lang=en --where source.year=2026
        headrace search "compress a file" --where 'tags=["archive"]' --exact
        headrace search "compress a file" --index docs_v2
        headrace search "compress a file" --json | jq -r '.hits[].id'
    """
    found = configured("store.dsn", "provider.base_url", "provider.model", "provider.dimensions")
    if ef is not None and exact:
        raise ConfigurationError("--exact uses no index, so that --ef says nothing: leave one of them out")
    text = " ".join(words)
    if not text.strip():
        raise ConfigurationError("say what to look for: an empty text has no vector")
    named = found.sources["store.index"] == "flag"
    settings = found.settings if named else await read_from_promoted(found.settings)
    hits = await find(settings, text, limit=limit, tenant=tenant, where=conditions(where), ef=ef, exact=exact)
    if as_json:
        print_json({"query": text, "index": settings.store.index, "hits": hits})
        return
    console = stdout()
    if not hits:
        filtered = " that passes these filters" if tenant is not None or where else ""
        console.print(f"nothing found{filtered}: `headrace status` says how much is stored")
    for hit in hits:
        print_hit(console, hit)


async def find(
    settings: Settings,
    text: str,
    *,
    limit: int,
    tenant: str | None = None,
    where: Sequence[str] = (),
    ef: int | None = None,
    exact: bool = False,
) -> list[Hit]:
    """Return the nearest chunks of the configured index.

    Raises IndexMismatch where it holds vectors that can not be compared with the configured model's.
    """
    async with PgVectorStore(settings.store) as store, OpenAIProvider(settings.provider) as provider:
        _see_that_it_compares(await store.about(), settings)
        reply = await provider.embed([text])
        vector = reply.vectors[0]
        if vector is None:
            raise MalformedReply(f"the provider has no usable vector for these words: {reply.faults.get(0, '')}")
        return await store.search(vector, limit=limit, tenant=tenant, where=where, ef=ef, exact=exact)


def print_hit(console: Console, hit: Hit) -> None:
    """Print a hit: its score, title and id on a line, the beginning of its text below."""
    head = Text.assemble((f"{hit.score:.3f}  ", "bold green"))
    if hit.title:
        head.append(f"{readable(one_line(hit.title))}  ", style="bold")
    head.append(readable(hit.id if hit.tenant == "default" else f"{hit.tenant}/{hit.id}"), style="cyan")
    if hit.ordinal:
        head.append(f" #{hit.ordinal}", style="dim")
    snippet = readable(one_line(hit.text))
    show(console, head, indented(snippet if len(snippet) <= SNIPPET else f"{snippet[:SNIPPET]}…", 7), "")


def _see_that_it_compares(stored: Fingerprint | None, settings: Settings) -> None:
    index, provider, store = settings.store.index, settings.provider, settings.store
    if stored is None:
        raise StoreMisconfigured(f"the index {index} does not exist: run `headrace init`")
    told = {"model": provider.model, "dimensions": provider.dimensions, "vector_type": store.vector_type}
    differing = {name: value for name, value in told.items() if getattr(stored, name) != value}
    if differing:
        said = ", ".join(
            f"{name} is {getattr(stored, name)} there and {value} here" for name, value in differing.items()
        )
        mend = " and ".join(f"{FROM[name]} = {getattr(stored, name)}" for name in differing)
        raise IndexMismatch(
            f"the index {index} holds vectors that can not be compared with yours: {said}; set {mend}, or name another "
            "index with --index"
        )
