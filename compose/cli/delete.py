"""``headrace delete``: documents, or a whole tenant."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from compose.cli.console import print_json, readable, stderr, stdout
from compose.cli.errors import FAILED, INTERRUPTED
from compose.cli.options import Json, configured
from compose.cli.watching import watched
from compose.deleting import Removal, Tally
from schemas.documents import DEFAULT_TENANT
from schemas.errors import ConfigurationError, InvalidDocument
from schemas.rules import document_id, tenant_of

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID…", help="Documents; - reads ids from standard input, a line each.")
]
Tenant = Annotated[str | None, typer.Option(metavar="NAME", help="Whose documents; the default tenant's if not said.")]
All = Annotated[bool, typer.Option("--all", help="Every document of --tenant.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the workers have done it.")]


async def delete(
    *,
    ids: Ids = None,
    tenant: Tenant = None,
    everything: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Delete documents, or a whole tenant.

    A tombstone for each is published to the topic, and workers delete what it names: in every index that is fed from
    there, and in the order of the log, so that a document which is published again later stays. Rows without vectors
    remain, which keep older records from bringing a document back, until `headrace purge`.

    --all deletes what the index holds of a tenant. Records that the workers have not reached are not in it: with --wait
    those that lie in the topic now are deleted as well, without it run it again when the workers have caught up.

    Examples:
        headrace delete intro.md guide.md
        headrace delete --tenant acme --all --dry-run
        headrace delete --tenant acme --all --yes --wait
        cut -f1 gone.tsv | headrace delete - --yes
    """
    whose, asked = _asked(ids, tenant, everything=everything)
    if not (dry_run or yes) and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError("nobody is there to be asked: say --yes, or look first with --dry-run")
    removal = Removal(configured("store.dsn").settings, whose, asked)
    await removal.prepare()
    tally = removal.tally
    if dry_run:
        _print(tally, _preview(tally, whose), as_json=as_json)
        return
    if not yes:
        stderr().print(_preview(tally, whose))
        if not tally.total or not typer.confirm("Do it?", default=False, err=True):
            raise typer.Exit(FAILED if tally.total else 0)
    try:
        async with watched(lambda: (tally.published, tally.total, _progress(tally)), removal.stop):
            await removal.run(wait=wait)
    finally:
        _print(tally, _done(tally, wait=wait, everything=everything), as_json=as_json)
    if tally.interrupted:
        raise typer.Exit(INTERRUPTED)


def _asked(ids: list[str] | None, tenant: str | None, *, everything: bool) -> tuple[str, list[str] | None]:
    """Return the tenant and the ids, None for all of them. Raises ConfigurationError for what makes no sense."""
    if everything and ids:
        raise ConfigurationError("--all deletes every document of --tenant: say either this or ids")
    if everything and tenant is None:
        raise ConfigurationError(f"--all needs --tenant: `--tenant {DEFAULT_TENANT}` is that of documents without one")
    if not everything and not ids:
        raise ConfigurationError("say what to delete: ids, - for ids from standard input, or --all with --tenant")
    try:
        whose = tenant_of(tenant)
        return whose, None if everything else [document_id(one) for one in _spelled_out(ids or [])]
    except InvalidDocument as error:
        raise ConfigurationError(str(error)) from None


def _spelled_out(ids: list[str]) -> list[str]:
    found: list[str] = []
    for one in ids:
        if one != "-":
            found.append(one)
            continue
        try:
            lines = sys.stdin.buffer.read().decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"standard input is not UTF-8 at byte {error.start}") from None
        found += [line for line in (line.removesuffix("\r") for line in lines) if line]
    return found


def _preview(tally: Tally, tenant: str) -> str:
    ahead = f"; {tally.ahead:,} records of the topic are not in the index yet" if tally.ahead else ""
    said = f"{tally.total:,} tombstones would be published for tenant {tenant}"
    return f"{said}: {tally.stored:,} of these documents are stored{ahead}"


def _progress(tally: Tally) -> str:
    waiting = f", waiting for workers: {tally.ahead:,} records" if tally.ahead and tally.published else ""
    return f"tombstones published{waiting}"


def _done(tally: Tally, *, wait: bool, everything: bool) -> str:
    said = f"{'interrupted: ' if tally.interrupted else ''}{tally.published:,} tombstones published"
    if tally.left is None:
        said += ", workers delete what they name"
        if everything and tally.ahead and not wait:
            said += (
                f"; {tally.ahead:,} records lay in the topic ahead of them: run it again when they are stored, "
                "or with --wait"
            )
    else:
        said += ", and the workers have done it"
        if tally.left:
            said += f"; {tally.left:,} documents are there, since something newer was published"
    return f"{said} ({tally.seconds:.1f} s)"


def _print(tally: Tally, words: str, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(tally))
    else:
        stdout().print(readable(words))
