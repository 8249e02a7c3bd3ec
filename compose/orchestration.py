"""How are our own workers kept out of their group for a while? By an order that stands until it is taken back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from consumers.core.standing_orders import ORDERS_EVERY_S
from consumers.kafka.admin import Group, KafkaView
from consumers.stores.pgvector import PgVectorStore
from schemas.errors import GroupIsLive, HeadraceError
from schemas.orders import NO, YES, leave_of
from schemas.settings import Settings

OURS = "headrace-worker"
LOOK_S = 0.2
MARGIN_S = 10.0

Tell = Callable[[str], None]


def see_that_it_is_empty(group: Group) -> None:
    """Raise GroupIsLive, naming the members, where there are some."""
    if not group.members:
        return
    advice = (
        "stop them, or let headrace send its own workers out for a moment: --orchestrate"
        if all(one.client_id == OURS for one in group.members)
        else "stop them"
    )
    raise GroupIsLive(f"the group {group.name} is {group.state}, its members are {_named(group)}: {advice}")


@asynccontextmanager
async def away(settings: Settings, store: PgVectorStore, view: KafkaView, by: str, tell: Tell) -> AsyncIterator[None]:
    """Let our workers drain, commit and leave the group for as long as the block takes; then they join again.

    The order to leave stands in the index: who is killed here leaves workers that say in their status who told them,
    and that `headrace resume` lets them join. Raises GroupIsLive where somebody else is in the group, or stays.
    """
    group, topic = settings.group, settings.kafka.topic
    found = await view.group(group, topic)
    if any(one.client_id != OURS for one in found.members):
        raise GroupIsLive(f"not all members of the group {group} are workers of headrace: {_named(found)}; stop them")
    await store.give_orders({leave_of(group): YES}, by)
    try:
        tell(f"asking {len(found.members)} of {group} to finish what they have and to leave the group")
        await _until_empty(settings, view)
        yield
    finally:
        try:
            await store.give_orders({leave_of(group): NO}, by)
        except HeadraceError as error:
            tell(f"the workers of {group} are still out of the group ({error}): `headrace resume` lets them join again")
        else:
            tell(f"the workers of {group} join again")


async def _until_empty(settings: Settings, view: KafkaView) -> None:
    kafka = settings.kafka
    within = ORDERS_EVERY_S + kafka.drain_timeout_s + kafka.session_timeout_s + MARGIN_S
    deadline = time.monotonic() + within
    while (found := await view.group(settings.group, kafka.topic)).members:
        if time.monotonic() > deadline:
            raise GroupIsLive(f"{_named(found)} did not leave the group {settings.group} within {within:.0f} s")
        await asyncio.sleep(LOOK_S)


def _named(group: Group) -> str:
    return ", ".join(f"{one.client_id} on {one.host}" for one in group.members)
