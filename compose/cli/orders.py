"""``headrace pause`` and ``headrace resume``: orders to every worker of a group."""

import getpass
import socket

from compose.cli.console import print_json, stderr, stdout
from compose.cli.options import Json, configured
from compose.service import see_that_it_exists
from consumers.stores.pgvector import PgVectorStore
from schemas.orders import NO, YES, leave_of, pause_of, resume_of
from schemas.settings import Settings


async def pause(as_json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Let every worker of the group take nothing in, until `headrace resume`.

    What was taken in is finished and committed; the workers keep their partitions and go on polling. The order stays
    over restarts.

    Examples:
        headrace pause
        headrace pause --group headrace-docs_v2 --index docs_v2
    """
    settings = configured("store.dsn").settings
    await give(settings, {pause_of(settings.group): YES})
    async with PgVectorStore(settings.store) as store:
        if not await store.load_positions(settings.group, settings.kafka.topic):
            stderr().print(
                f"no worker of {settings.group} has stored anything in {settings.store.index}: is it the right one?"
            )
    _say(settings, "paused", "takes nothing in from within two seconds on; `headrace resume` goes on", as_json=as_json)


async def resume(as_json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Let every worker of the group go on, after a pause, a flood of dead letters, or a cause that was mended.

    Dead letters that a flood held are written, what is blocked is tried again at once, and workers that
    `headrace offsets` has sent out of the group join it again.

    Examples:
        headrace resume
        headrace resume --json
    """
    settings = configured("store.dsn").settings
    group = settings.group
    await give(settings, {pause_of(group): NO, leave_of(group): NO, resume_of(group): YES})
    _say(settings, "resumed", "goes on within two seconds", as_json=as_json)


async def give(settings: Settings, orders: dict[str, str]) -> None:
    """Give orders to every worker of the group. Raises StoreMisconfigured where there is no index."""
    async with PgVectorStore(settings.store) as store:
        see_that_it_exists(await store.about(), settings.store.index)
        await store.give_orders(orders, f"{getpass.getuser()}@{socket.gethostname()}")


def _say(settings: Settings, what: str, then: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"group": settings.group, "index": settings.store.index, "order": what})
    else:
        stdout().print(f"{what}: every worker of {settings.group} {then}")
