"""``headrace init``: topics and tables."""

import sys
from typing import Annotated

import typer

from compose.cli.console import print_json, show, stderr, stdout, table_of
from compose.cli.options import Json, configured
from compose.service import fingerprint_of
from consumers.stores.pgvector import PgVectorStore
from producers.topics import Ensured, ensure_topics
from schemas.settings import Settings

SQL = Annotated[bool, typer.Option("--sql", help="Print the SQL that makes the index, and do nothing.")]


async def init(as_json: Json = False, sql: SQL = False) -> None:  # noqa: FBT002 - flags
    """Create the topics and the index.

    What exists is left as it is; where a topic is set otherwise than it should be, that is said. With
    store.ddl = false the SQL is printed for a DBA instead of run.

    Examples:
        headrace init
        headrace init --index articles --topic articles.raw
        headrace init --sql > index.sql
    """
    settings = configured("store.dsn", "provider.model", "provider.dimensions").settings
    fingerprint = fingerprint_of(settings)
    async with PgVectorStore(settings.store) as store:
        if sql:
            sys.stdout.write(store.ddl_script(fingerprint))
            return
        topics = await ensure_topics(settings)
        script = None
        done: list[str] = []
        if settings.store.ddl or await store.about() == fingerprint:
            done = await store.create(fingerprint)
        else:
            script = store.ddl_script(fingerprint)
    if as_json:
        print_json({"topics": topics, "index": {"name": settings.store.index, "done": done, "sql": script}})
        return
    _tell(topics, done, settings, dba=script is not None)
    if script is not None:
        sys.stdout.write(script)


def _tell(topics: list[Ensured], done: list[str], settings: Settings, *, dba: bool) -> None:
    """Say what became of each; on standard error where standard output takes the SQL."""
    console = stderr() if dba else stdout()
    rows = [(one.name, one.partitions, _became(one)) for one in topics]
    show(console, table_of(("topic", "partitions", "state"), rows, "partitions"), "")
    index = settings.store.index
    if dba:
        console.print(f"index {index}: store.ddl is false, so have a DBA run the SQL on standard output")
    for step in done:
        console.print(f"index {index}: {step}")
    if not done and not dba:
        console.print(f"index {index}: exists")


def _became(topic: Ensured) -> str:
    differing = ", ".join(f"{one.setting} is {one.found}, should be {one.wanted}" for one in topic.differences)
    return f"{topic.outcome}: {differing}" if differing else topic.outcome
