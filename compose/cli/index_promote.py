"""``headrace index promote``: which index readers use."""

import re
import sys
from typing import Annotated

import typer

from compose import indexes
from compose.cli.console import print_json, stdout
from compose.cli.index import named
from compose.cli.options import Json, configured
from compose.indexes import Promoted
from consumers.stores.promotion import Promotion
from schemas.catalog import DEFAULT_PAIR, views_of
from schemas.errors import ConfigurationError

PAIR = re.compile(r"[a-z_][a-z0-9_]{0,47}")

Name = Annotated[str | None, typer.Argument(metavar="NAME", help="The index.")]
As = Annotated[
    str,
    typer.Option("--as", metavar="PAIR", help="Switch headrace.PAIR_documents and PAIR_chunks; made if they are not."),
]
Back = Annotated[bool, typer.Option("--back", help="Go back to the index before.")]
Even = Annotated[bool, typer.Option("--even-if-incomplete", help="Also where readers miss something by it.")]


async def promote(
    *,
    name: Name = None,
    pair: As = DEFAULT_PAIR,
    back: Back = False,
    even_if_incomplete: Even = False,
    as_json: Json = False,
) -> None:
    """Let `headrace search`, and whoever reads the views headrace.documents and headrace.chunks, use another index.

    The views change at once, between two statements of a reader; nobody sees some of one index and some of another. An
    index that lacks documents of the one before is refused, after waiting for what is on its way; so is one without a
    vector index where the one before has one. With store.ddl = false the SQL is printed for a DBA instead of run.

    Examples:
        headrace index promote docs_v2
        headrace index promote --back
        headrace index promote docs_v2 --as preview
    """
    if not PAIR.fullmatch(pair):
        raise ConfigurationError(f"--as {pair}: write small letters, digits and _, at most 48 of them")
    if back == (name is not None):
        raise ConfigurationError("name the index to promote, or say --back to return to the one before; not both")
    settings = configured("store.dsn").settings if name is None else named(name).settings
    if not settings.store.ddl:
        promotion = Promotion(settings.store, pair)
        sys.stdout.write(await promotion.script(await promotion.previous() if name is None else name))
        return
    if name is None:
        done = await indexes.go_back(settings, pair)
    else:
        done = await indexes.promote(settings, name, pair, even_if_incomplete=even_if_incomplete)
    if as_json:
        print_json(done)
    else:
        _tell(done)


def _tell(done: Promoted) -> None:
    console, switched, coverage = stdout(), done.switched, done.coverage
    documents, chunks = (f"headrace.{view}" for view in views_of(switched.pair))
    if switched.previous == switched.index:
        console.print(f"{switched.index} is promoted already: {documents} and {chunks} read it")
        return
    before = f", {switched.previous} before" if switched.previous else ""
    console.print(f"promoted {switched.index}: {documents} and {chunks} read it{before}")
    if switched.previous:
        own = "" if switched.pair == DEFAULT_PAIR else f" --as {switched.pair}"
        console.print(f"`headrace index promote --back{own}` returns to {switched.previous}, as long as it is there")
    if coverage is not None and coverage.lacking:
        console.print(f"{switched.index} {coverage.lacks(switched.previous or '')}: its group brings them, if it runs")
