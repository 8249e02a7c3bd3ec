"""``headrace purge``: tombstones that guard against nothing any more."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from compose.cli.console import print_json, stdout
from compose.cli.errors import INTERRUPTED
from compose.cli.letters import AGO, UNITS
from compose.cli.options import Json, configured
from compose.cli.watching import watched
from compose.purging import Plan, Purge, Tally
from consumers.stores.tombstones import Tombstones
from schemas.dead_letters import iso
from schemas.errors import ConfigurationError

OlderThan = Annotated[str, typer.Option("--older-than", metavar="TIME", help="Deleted so long ago: 12h, 30d.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would go and what stays, and remove nothing.")]


async def purge(
    older_than: OlderThan,
    dry_run: DryRun = False,  # noqa: FBT002 - a flag
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Forget deleted documents.

    A deletion leaves a row that keeps older records from bringing the document back. This removes those rows, but for
    the ones that are still needed: against dead letters that were not dealt with, and against records that the workers
    have not resolved. Dead letters that were dealt with do not count: `headrace dlq replay --again` warns of those.

    A reset to the start of the topic is safe afterwards: it reads the older records of a document, then its deletion.

    Examples:
        headrace purge --older-than 30d --dry-run
        headrace purge --older-than 30d
    """
    purging = Purge(configured("store.dsn").settings, _seconds(older_than))
    async with Tombstones(purging.settings.store) as tombstones:
        plan = await purging.prepare(tombstones)
        if not dry_run:
            async with watched(lambda: (purging.tally.purged, plan.old.going, "tombstones purged"), purging.stop):
                await purging.run(tombstones, plan)
    if as_json:
        print_json({"plan": plan, "dry_run": dry_run, **asdict(purging.tally)})
    else:
        _print(plan, purging.tally, dry_run=dry_run)
    if purging.tally.interrupted:
        raise typer.Exit(INTERRUPTED)


def _seconds(told: str) -> float:
    found = AGO.fullmatch(told)
    if found is None:
        raise ConfigurationError(f"--older-than {told}: write 12h or 30d")
    try:
        return timedelta(**{UNITS[found[2]]: int(found[1])}).total_seconds()
    except OverflowError:
        raise ConfigurationError(f"--older-than {told}: that is longer than there are records") from None


def _print(plan: Plan, tally: Tally, *, dry_run: bool) -> None:
    console, needed, old = stdout(), plan.needed, plan.old
    if dry_run:
        console.print(f"{old.going:,} tombstones would go, deleted before {iso(plan.before.timestamp())}")
    else:
        stopped = "interrupted: " if tally.interrupted else ""
        console.print(f"{stopped}{tally.purged:,} tombstones purged, {tally.seconds:.1f} s")
    if old.guarding:
        console.print(f"{old.guarding:,} stay, since older records may still come: {_why(plan)}")
    if old.versioned:
        console.print(
            f"{old.versioned:,} with a version stay while dead letters are open ({needed.letters:,}): "
            "a version outranks time"
        )


def _why(plan: Plan) -> str:
    needed, said = plan.needed, []
    if needed.oldest_letter_ms is not None:
        since = iso(needed.oldest_letter_ms / 1000)
        said.append(f"{needed.letters:,} open dead letters, the oldest from {since} (`headrace dlq list`)")
    if needed.oldest_unresolved_ms is not None:
        since = iso(needed.oldest_unresolved_ms / 1000)
        said.append(f"{needed.unresolved:,} records that the workers have not resolved, the oldest from {since}")
    return ", and ".join(said)
