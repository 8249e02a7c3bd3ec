"""``headrace dlq export``: dead letters as lines of JSON."""

import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import IO, Annotated

import msgspec
import typer

from compose.cli.dlq import All
from compose.cli.letters import selecting
from compose.cli.options import configured
from compose.dead_letters import lying
from compose.letter_forms import exported
from consumers.core.selection import Filter
from schemas.errors import ConfigurationError, HeadraceError

Target = Annotated[str, typer.Argument(metavar="FILE", help="To be written; - is standard output.")]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")]


@selecting
async def export(
    asked: Filter,
    target: Target,
    settled: All = False,  # noqa: FBT002 - a flag
    force: Force = False,  # noqa: FBT002 - a flag
) -> None:
    """Write dead letters to a file, a line of JSON each.

    A line holds key, value and headers as they lie in the topic (as text, or base64 where they are not UTF-8), the
    failure, the first origin and the fate. The file appears when it is complete.

    Examples:
        headrace dlq export dead.jsonl
        headrace dlq export - --code invalid-document | jq -r .value.text
    """
    settings = configured().settings
    written = 0
    with _opened(target, force=force) as output:
        async with aclosing(lying(settings, asked, settled=settled)) as found:
            async for letter, fate in found:
                output.write(msgspec.json.encode(exported(letter, fate)) + b"\n")
                written += 1
    typer.echo(f"{written:,} dead letter{'' if written == 1 else 's'} written", err=True)


@contextmanager
def _opened(target: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Open what is to be written; a file that can not be finished leaves nothing behind."""
    if target == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    if path.exists() and not force:
        raise ConfigurationError(f"{path} is there already: name another file, or replace it with --force")
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as output:
            yield output
        partial.replace(path)
    except OSError as error:
        raise HeadraceError(f"{path} can not be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
