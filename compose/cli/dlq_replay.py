"""``headrace dlq replay|park|discard``: what is to become of dead letters."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from compose.cli.dealing import deal
from compose.cli.letters import selecting
from compose.cli.options import Json, configured
from consumers.core.replaying import MAX_REPLAYS, Order
from consumers.core.selection import Filter
from schemas.errors import ConfigurationError
from schemas.fates import FateKind

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Again = Annotated[bool, typer.Option("--again", help="Also those that were replayed, parked or discarded before.")]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="At most so many, the older ones of a partition first.")
]
Rate = Annotated[float | None, typer.Option(min=0.01, metavar="N", help="At most so many a second.")]
To = Annotated[str | None, typer.Option("--to", metavar="TOPIC", help="Publish there, not to the original topic.")]
MaxReplays = Annotated[int, typer.Option(min=0, metavar="N", help="Park what has come back so often.")]
Edit = Annotated[str | None, typer.Option(metavar="FILE", help="Publish this document instead; - is standard input.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept with the fate.")]


@selecting
async def replay(  # noqa: PLR0913 - an option each
    *,
    asked: Filter,
    limit: Limit = None,
    rate: Rate = None,
    to: To = None,
    edit: Edit = None,
    again: Again = False,
    max_replays: MaxReplays = MAX_REPLAYS,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Publish dead letters to their topic again.

    The original goes to its original topic and partition, with its first origin in its headers: an old version never
    replaces a newer one. What became of each dead letter is kept, so a second run leaves out what was replayed, parked
    or discarded. It ends where the dead-letter topic ended when it began. Ctrl-C stops it behind the group that is on
    its way; a run that was killed is started again, and publishes at most one group of a hundred twice, which the
    worker notices.

    It warns of letters that --again takes and that may be older than deletions which `headrace purge` has forgotten:
    nothing keeps such a document deleted any more.

    With --edit, a corrected document in the form of the source topic takes the place of the one dead letter that
    --partition and --offset name. It is a new document with a new origin: it replaces what is stored.

    Examples:
        headrace dlq replay --dry-run
        headrace dlq replay --code input-rejected --since 2h --rate 50
        headrace dlq replay --partition 3 --offset 1024 --edit corrected.json
    """
    document = None
    if edit is not None:
        if asked.offset is None:
            raise ConfigurationError("--edit replaces one document: name it with --partition and --offset")
        document = _content(edit)
    settings = configured().settings
    order = Order(
        FateKind.REPLAYED,
        asked,
        settings.worker.max_document_bytes,
        to=to,
        limit=limit,
        rate=rate,
        again=again,
        max_replays=max_replays,
        document=document,
    )
    await deal(settings, order, dry_run=dry_run, yes=yes, as_json=as_json)


@selecting
async def park(
    asked: Filter,
    reason: Reason,
    limit: Limit = None,
    again: Again = False,  # noqa: FBT002 - a flag
    dry_run: DryRun = False,  # noqa: FBT002 - a flag
    yes: Yes = False,  # noqa: FBT002 - a flag
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Give dead letters up, and move a copy of each to the parked topic.

    Examples:
        headrace dlq park --tenant acme --reason "contract ended" --dry-run
    """
    settings = configured().settings
    max_bytes = settings.worker.max_document_bytes
    order = Order(FateKind.PARKED, asked, max_bytes, reason=_said(reason), limit=limit, again=again)
    await deal(settings, order, dry_run=dry_run, yes=yes, as_json=as_json)


@selecting
async def discard(
    asked: Filter,
    reason: Reason,
    limit: Limit = None,
    again: Again = False,  # noqa: FBT002 - a flag
    dry_run: DryRun = False,  # noqa: FBT002 - a flag
    yes: Yes = False,  # noqa: FBT002 - a flag
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Give dead letters up where they are: nothing is published or deleted, and no list shows them any more.

    Examples:
        headrace dlq discard --code empty-text --reason "drafts without text" --yes
    """
    settings = configured().settings
    max_bytes = settings.worker.max_document_bytes
    order = Order(FateKind.DISCARDED, asked, max_bytes, reason=_said(reason), limit=limit, again=again)
    await deal(settings, order, dry_run=dry_run, yes=yes, as_json=as_json)


def _said(reason: str) -> str:
    if not reason.strip():
        raise ConfigurationError("--reason is empty: say why, for those who will ask")
    return reason.strip()


def _content(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--edit {name} can not be read: {error.strerror}") from None
