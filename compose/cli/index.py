"""``headrace index``: which indexes are there; one more; one less."""

import sys
from typing import Annotated

import typer

from compose import indexes
from compose.cli.console import print_json, print_table, show, stdout
from compose.cli.errors import FAILED
from compose.cli.options import Json, configured
from compose.configuration import Configuration
from compose.service import fingerprint_of
from consumers.stores.catalog import Catalog
from consumers.stores.pgvector import PgVectorStore
from schemas.catalog import DEFAULT_PAIR, Described, VectorIndex
from schemas.errors import ConfigurationError
from schemas.settings import Settings

THOUSAND = 1000

Name = Annotated[str, typer.Argument(metavar="NAME", help="The index.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def named(name: str, *needed: str) -> Configuration:
    """Return the configuration with *name* as its index. Raises ConfigurationError where --index says another one."""
    found = configured("store.dsn", *needed, store__index=name)
    if found.settings.store.index != name:
        raise ConfigurationError(f"two indexes are named: {name} and {found.settings.store.index}; leave --index out")
    return found


async def list_indexes(as_json: Json = False) -> None:  # noqa: FBT002 - a flag
    """List the indexes of the database: what they hold, what they take on disk, and which of them is promoted.

    Examples:
        headrace index list
        headrace index list --json | jq -r '.[] | select(.vector_indexes == []) | .name'
    """
    found = await Catalog(configured("store.dsn").settings.store).indexes()
    if as_json:
        print_json(found)
        return
    console = stdout()
    if not found:
        console.print("no indexes: `headrace init` makes the first one")
        return
    columns = ("index", "model", "dimensions", "type", "chunking", "documents", "chunks", "size", "vector index")
    rows = [(*_row(one), _promoted(one), _day(one)) for one in found]
    print_table(console, (*columns, "promoted", "purged before"), rows, "dimensions documents chunks size")


async def create(name: Name, as_json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Create an index with the model and the chunking of the settings, beside those that are there.

    With store.ddl = false the SQL is printed for a DBA instead of run.

    Examples:
        headrace index create docs_v2 --set provider.model=text-embedding-3-large --set provider.dimensions=3072
        headrace index create docs_v2 --set chunking.max_tokens=256
    """
    found = named(name, "provider.model", "provider.dimensions")
    settings = found.settings
    fingerprint = fingerprint_of(settings)
    async with PgVectorStore(settings.store) as store:
        if not settings.store.ddl and await store.about() != fingerprint:
            sys.stdout.write(store.ddl_script(fingerprint))
            return
        done = await store.create(fingerprint)
    promoted = await Catalog(settings.store).promoted()
    then = _then(found, promoted)
    if as_json:
        print_json({"index": name, "fingerprint": fingerprint, "done": done, "then": then})
        return
    console = stdout()
    for step in done or ["exists"]:
        console.print(f"index {name}: {step}")
    console.print("next:")
    show(console, *(f"  {step}" for step in then))


def _then(found: Configuration, promoted: str | None) -> list[str]:
    """Return what to type to fill the index and to let readers use it."""
    settings = found.settings
    index, provider = settings.store.index, settings.provider
    flags = [f"--index {index}"]
    if found.sources["kafka.group"] != "default":
        flags.append(f"--group headrace-{index}")
    told = {"provider.model": provider.model, "provider.dimensions": provider.dimensions}
    own = {"store.vector_type": settings.store.vector_type}
    own |= {f"chunking.{name}": value for name, value in settings.chunking.model_dump().items()}
    told |= {name: value for name, value in own.items() if found.sources[name] == "flag"}
    flags += [f"--set {setting}={value}" for setting, value in told.items()]
    steps = [f"headrace run {' '.join(flags)}", f"headrace index build {index}"]
    if promoted not in (None, index):
        steps += [f"headrace index compare {promoted} {index}", f"headrace index promote {index}"]
    return steps


async def drop(name: Name, yes: Yes = False, as_json: Json = False) -> None:  # noqa: FBT002 - flags
    """Drop an index with all its rows.

    The promoted one stays, and so does one that a group works for. The positions that its group has in Kafka stay too:
    `headrace offsets reset` speaks of them.

    Examples:
        headrace index drop docs_v1
        headrace index drop docs_v1 --yes
    """
    settings = named(name).settings
    await indexes.see_that_it_may_go(settings, name)
    if not yes:
        await _ask(settings, name)
    await Catalog(settings.store).drop(name)
    if as_json:
        print_json({"index": name, "dropped": True})
    else:
        stdout().print(f"dropped the index {name}")


async def _ask(settings: Settings, name: str) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError("nobody is there to be asked: say --yes")
    one = await Catalog(settings.store).index(name)
    question = f"Drop {name} with {one.counts.documents:,} documents and {one.counts.chunks:,} vectors?"
    if not typer.confirm(question, default=False, err=True):
        raise typer.Exit(FAILED)


def _row(one: Described) -> tuple[str, ...]:
    is_, counts = one.fingerprint, one.counts
    about = "~" if counts.estimated else ""
    return (
        one.name,
        is_.model,
        f"{is_.dimensions:,}",
        is_.vector_type,
        is_.chunking,
        f"{about}{counts.documents:,}",
        f"{about}{counts.chunks:,}",
        size_of(one.bytes),
        "; ".join(map(described, one.vector_indexes)) or "-",
    )


def _promoted(one: Described) -> str:
    return ", ".join("yes" if pair == DEFAULT_PAIR else f"as {pair}" for pair in one.promoted) or "-"


def _day(one: Described) -> str:
    return "-" if one.purged_before is None else f"{one.purged_before:%Y-%m-%d}"


def described(one: VectorIndex) -> str:
    """Write a vector index in a few words."""
    state = "" if one.valid else ", being built" if one.builder is not None else ", INVALID: its build was ended"
    return f"{one.kind} {size_of(one.bytes)}{state}"


def size_of(count: int) -> str:
    """Write a number of bytes for people."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < THOUSAND:
            return f"{size:.0f} {unit}"
        size /= THOUSAND
    return f"{size:,.1f} GB"
