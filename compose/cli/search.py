"""``headrace search``: the nearest chunks, in a terminal."""

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from compose.cli.console import indented, one_line, print_json, readable, show, stdout
from compose.cli.options import Json, configured
from consumers.providers.openai import OpenAIProvider
from consumers.stores.pgvector import PgVectorStore
from schemas.errors import IndexMismatch, MalformedReply, StoreMisconfigured
from schemas.index import Fingerprint, Hit
from schemas.settings import Settings

SNIPPET = 220

Words = Annotated[list[str], typer.Argument(metavar="WORDS…", help="What to look for.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many chunks.")]
Tenant = Annotated[str | None, typer.Option(metavar="NAME", help="Only this tenant's documents.")]


async def search(words: Words, limit: Limit = 5, tenant: Tenant = None, as_json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Find the nearest chunks.

    The words are embedded by the configured provider, and compared by cosine similarity: 1 is the same direction.

    Examples:
        headrace search "how do I parse a date"
        headrace search reset an offset --limit 3 --tenant acme
        headrace search "compress a file" --json | jq -r '.hits[].id'
    """
    settings = configured("store.dsn", "provider.base_url", "provider.model", "provider.dimensions").settings
    text = " ".join(words)
    hits = await find(settings, text, limit=limit, tenant=tenant)
    if as_json:
        print_json({"query": text, "index": settings.store.index, "hits": hits})
        return
    console = stdout()
    if not hits:
        console.print("nothing found: `headrace status` says how much is stored")
    for hit in hits:
        print_hit(console, hit)


async def find(settings: Settings, text: str, *, limit: int, tenant: str | None = None) -> list[Hit]:
    """Return the nearest chunks of the configured index.

    Raises IndexMismatch where it holds vectors that can not be compared with the configured model's.
    """
    async with PgVectorStore(settings.store) as store, OpenAIProvider(settings.provider) as provider:
        _see_that_it_compares(await store.about(), settings)
        reply = await provider.embed([text])
        vector = reply.vectors[0]
        if vector is None:
            raise MalformedReply(f"the provider has no usable vector for these words: {reply.faults.get(0, '')}")
        return await store.search(vector, limit=limit, tenant=tenant)


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
    differing = [
        f"{name} is {getattr(stored, name)} there and {value} here"
        for name, value in told.items()
        if getattr(stored, name) != value
    ]
    if differing:
        raise IndexMismatch(
            f"the index {index} holds vectors that can not be compared with yours: {', '.join(differing)}; "
            "correct the settings, or name another store.index"
        )
