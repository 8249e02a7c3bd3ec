"""``headrace index compare``: what one index has of another, and whether they find the same."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from compose.cli.console import one_line, print_json, print_table, readable, stdout
from compose.cli.options import Json, configured
from compose.overlap import Overlap, overlap
from consumers.stores.coverage import Comparison
from schemas.catalog import Coverage, Difference, State
from schemas.errors import ConfigurationError

WORST = 3
MEANING = {
    State.SAME: "the same record, or the same content",
    State.MISSING: "only {0} has it",
    State.STALE: "from an older record than in {0}",
    State.AHEAD: "from a newer record than in {0}",
    State.EXTRA: "{0} does not know it",
    State.DIFFERING: "from the same record, but not the same",
}

First = Annotated[str, typer.Argument(metavar="A", help="The measure: mostly the promoted index.")]
Second = Annotated[str, typer.Argument(metavar="B", help="The index that is looked at.")]
List = Annotated[bool, typer.Option("--list", help="List the documents that are not the same.")]
Limit = Annotated[int, typer.Option(min=1, max=1_000_000, help="How many of them.")]
Neighbours = Annotated[int, typer.Option(min=0, max=200, metavar="K", help="Nearest documents a query; 0 is none.")]
Sample = Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Stored documents that serve as queries.")]
Queries = Annotated[
    Path | None, typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Queries instead, one a line.")
]


async def compare(  # noqa: PLR0913 - an option each
    *,
    a: First,
    b: Second,
    list_: List = False,
    limit: Limit = 100,
    neighbours: Neighbours = 10,
    sample: Sample = 50,
    queries: Queries = None,
    as_json: Json = False,
) -> None:
    """Say what index B has of the documents of index A, and whether they find the same.

    Neighbours: the nearest documents of the same queries in each. Stored documents that both have serve as queries,
    each by the vector that either index has of it; with --queries texts do, embedded for each index by its own model at
    the configured provider. recall is the share of A's nearest that B finds too, jaccard that of those found by both.

    Examples:
        headrace index compare docs docs_v2
        headrace index compare docs docs_v2 --list --neighbours 0
        headrace index compare docs docs_v2 --queries questions.txt --neighbours 5 --json
    """
    settings = configured("store.dsn", *(["provider.base_url"] if queries else [])).settings
    if a == b:
        raise ConfigurationError(f"{a} and {b} are one index: name two")
    comparison = Comparison(settings.store, a, b)
    coverage = await comparison.coverage()
    differences = await comparison.differences(limit) if list_ else None
    found = None
    if neighbours:
        texts = None if queries is None else _lines(queries)
        found = await overlap(settings, a, b, neighbours, sample=sample, texts=texts)
    if as_json:
        print_json({"reference": a, "index": b, "coverage": coverage, "differences": differences, "neighbours": found})
        return
    console = stdout()
    _print_coverage(console, coverage, a)
    if differences is not None:
        _print_differences(console, differences, coverage, a, b)
    if neighbours:
        _print_overlap(console, found)


def _lines(path: Path) -> list[str]:
    try:
        lines = [line for line in map(str.strip, path.read_text("utf-8-sig").splitlines()) if line]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--queries {path} can not be read: {error}") from None
    if not lines:
        raise ConfigurationError(f"--queries {path} holds no query: write one a line")
    return lines


def _print_coverage(console: Console, coverage: Coverage, a: str) -> None:
    rows = [(state.value, f"{getattr(coverage, state.value):,}", MEANING[state].format(a)) for state in State]
    print_table(console, ("documents", "count", "which is"), rows, "count")


def _print_differences(console: Console, found: list[Difference], coverage: Coverage, a: str, b: str) -> None:
    console.print()
    rows = [
        (one.state.value, readable(one.tenant), readable(one.id), one.reference or "-", one.index or "-")
        for one in found
    ]
    print_table(console, ("state", "tenant", "document", f"record in {a}", f"record in {b}"), rows)
    more = sum(getattr(coverage, state.value) for state in State if state is not State.SAME) - len(found)
    if more > 0:
        console.print(f"{more:,} more: --limit")


def _print_overlap(console: Console, found: Overlap | None) -> None:
    console.print()
    if found is None:
        console.print("neighbours: no document is in both from one record; name texts with --queries")
        return
    console.print(
        f"neighbours: recall@{found.k} {found.recall:.3f}, jaccard {found.jaccard:.3f} ({len(found.queries):,} queries)"
    )
    rows = [(f"{one.recall:.2f}", f"{one.jaccard:.2f}", readable(one_line(one.query))) for one in found.queries[:WORST]]
    print_table(console, ("recall", "jaccard", "least alike"), rows, "recall jaccard")
