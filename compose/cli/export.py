"""``headrace export``: vectors in a file that others map into their memory."""

from pathlib import Path
from typing import Annotated

import typer

from compose.cli.console import print_json, stdout
from compose.cli.errors import INTERRUPTED
from compose.cli.options import Json, configured
from compose.cli.scope import Tenant, Where, conditions
from compose.cli.watching import watched
from consumers.export import Export, Order
from schemas.errors import ConfigurationError
from schemas.exports import DType, Scope

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; it is made if it is not there.")]
Type = Annotated[DType, typer.Option("--dtype", help="Numbers of the matrix.")]
Text = Annotated[bool, typer.Option("--with-text", help="Write the text of each chunk as well.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an export that was ended.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an export that is there.")]


async def export(  # noqa: PLR0913 - an option each
    *,
    folder: Folder,
    dtype: Type = "float32",
    tenant: Tenant = None,
    where: Where = None,
    with_text: Text = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write vectors to memory-mapped files, for index builders and training jobs.

    FOLDER gets vectors.npy, a matrix with a row for each chunk; rows.jsonl, whose line i says what row i is; and
    manifest.json, with the model and the positions of the consumer groups. All of it is of one moment, whatever
    workers write meanwhile, and an export is one only when the manifest says that it is complete.

    With --resume an export that was ended goes on in a new moment: documents that are the same as when they were
    written stay, up to the first that is not; all behind that one is written again.

    Examples:
        headrace export vectors/
        headrace export acme/ --tenant acme --where lang=en --dtype float16
        headrace export vectors/ --resume
        python -c 'import numpy; print(numpy.load("vectors/vectors.npy", mmap_mode="r").shape)'
    """
    if resume and overwrite:
        raise ConfigurationError("--resume keeps what is there and --overwrite removes it: say one of them")
    settings = configured("store.dsn").settings
    scope = Scope(tenant, tuple(conditions(where)))
    running = Export(settings.store, folder, Order(scope, dtype, with_text, resume, overwrite))
    tally = running.tally
    async with watched(lambda: (tally.rows, tally.total, "rows"), running.stop):
        manifest = await running.run()
    if as_json:
        print_json(manifest)
    else:
        kept = f", {tally.kept:,} of them kept" if tally.kept else ""
        stdout().print(
            f"{'' if manifest.complete else 'interrupted: '}{tally.rows:,} of {tally.total:,} vectors of "
            f"{manifest.dimensions} dimensions as {manifest.dtype} in {folder}{kept}, {tally.seconds:.1f} s"
        )
    if not manifest.complete:
        if not as_json:
            stdout().print("go on with --resume")
        raise typer.Exit(INTERRUPTED)
