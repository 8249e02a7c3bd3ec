"""What does each fault cost? The table in docs/faults.md, from what the scenarios have reported.

``python -m tests.scenarios.matrix FILE`` writes it; ``--files`` tells which scenarios it needs.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.scenarios.faults import Cost

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- fault matrix -->", "<!-- /fault matrix -->"
HEAD = (
    "| fault | lost | duplicated rows | rolled back | dead-lettered | texts paid twice "
    "| seconds to recover |\n|---|---:|---:|---:|---:|---:|---:|"
)
IN_FLIGHT = "Texts that were in flight when the process was killed or frozen: their vectors had reached no table yet."
RESTORED = "Texts whose vectors are not in the older copy of the database: it knows nothing of them."
BILLED = "A reply that can not be used is billed all the same, and its texts have to be sent again."
TWO_COPIES = "Both copies were in flight at the same moment, so that nothing was stored yet; one of them counts."
FORGOTTEN = "The provider that was killed has forgotten its counts: these are the ones of its second life."
BY_ITSELF = "A part that is blocked tries again by itself every 15 to 60 seconds."
BY_DESIGN = "These are documents of which no vector can be had, or which the scenario made dead letters of beforehand."


@dataclass(frozen=True)
class Row:
    """A fault, and the scenario that injects it.

    ``note`` says why texts are paid twice, ``slow`` why recovery takes long, and ``deaths`` that the scenario makes
    dead letters of what it publishes.
    """

    scenario: str
    fault: str
    note: str = ""
    slow: str = ""
    deaths: bool = False


ROWS = (
    Row("worker_killed_during_a_batch", "kill -9 of a worker with calls in flight, five times", IN_FLIGHT),
    Row("worker_killed_between_write_and_commit", "kill -9 of a worker between write and commit"),
    Row("sigterm_in_mid_load", "SIGTERM under load"),
    Row("zombie", "SIGSTOP past the session timeout, another worker takes over, SIGCONT", IN_FLIGHT),
    Row("second_worker_joins_and_leaves", "two rebalances under load"),
    Row("rebalance_during_triage", "a rebalance while poisons are looked for"),
    Row("kafka_killed_in_mid_load", "kill -9 of the broker", IN_FLIGHT),
    Row("postgres_killed_in_mid_load", "kill -9 of the database"),
    Row("postgres_away_for_long", "the database away for ten seconds under load, and a second to drain"),
    Row("postgres_away_at_a_rebalance", "the database away at a rebalance"),
    Row("database_restored", "the database restored to an earlier time", RESTORED),
    Row("provider_killed_in_mid_load", "kill -9 of the provider", FORGOTTEN),
    Row("provider_outage", "503, then calls that hang, 500, refused connections; a refused key", slow=BY_ITSELF),
    Row("provider_fails_at_random", "60 % of all calls fail for 20 s"),
    Row("storm_of_rate_limits", "429 for everything for 10 s; Retry-After"),
    Row("key_refused_until_resumed", "401, insufficient quota"),
    Row("limits_of_the_provider", "413 and `max_tokens_per_request`"),
    Row("calls_that_hang", "some calls are never answered"),
    Row("malformed_replies", "truncated JSON, wrong count", BILLED),
    Row("replies_in_any_order", "vectors in any order"),
    Row("unusable_vectors", "vectors that are NaN, infinite, zero, short, ragged"),
    Row("poison", "texts that the provider refuses, a row that PostgreSQL refuses"),
    Row("poison_in_a_quiet_hour", "one text that makes the provider fail, and no other"),
    Row("flood_of_dead_letters", "a flood: 80 broken records; 400 for everything", deaths=True),
    Row("deadline", "503 for a few texts, then for everything, behind a deadline", deaths=True),
    Row("dead_letter_topic_refuses", "the dead-letter topic takes nothing", slow=BY_ITSELF),
    Row("unreadable_record", "a batch that no consumer can read"),
    Row("aborted_transaction", "an aborted transaction"),
    Row("one_timestamp", "versions of a document with one timestamp, the first one late"),
    Row("clock_jump", "timestamps ten years ahead"),
    Row("topic_read_again", "offsets reset to the start"),
    Row("reset_of_a_live_fleet", "offsets reset under two workers at work"),
    Row("reset_killed_half_way", "kill -9 of an offsets reset"),
    Row("one_instance_id_twice", "two processes with one `kafka.instance_id`"),
    Row("budget_of_a_day", "the budget of a day is spent in mid-load"),
    Row("stale_replay", "old messages published again, forged origins", deaths=True),
    Row("replay_of_an_old_version", "a dead letter replayed after a newer version", deaths=True),
    Row("replay_by_a_plain_tool", "a dead letter copied back by a plain tool, twice", deaths=True),
    Row("replay_killed_half_way", "kill -9 of a replay", TWO_COPIES, deaths=True),
    Row("replay_twice_at_once", "two replays at once", TWO_COPIES, deaths=True),
    Row("replay_loses_its_broker", "kill -9 of the broker during a replay", TWO_COPIES, deaths=True),
    Row("replay_after_topic_made_anew", "the dead-letter topic made anew", deaths=True),
)
NO_ROWS = (
    # No fault is injected: they show what is promised of plain work, of its cost, or of its bounds.
    *("backlog", "caught_up", "cost_of_poisons", "deletions", "export_in_constant_memory", "large_document"),
    *("memory_above_its_mark", "model_change", "odd_inputs", "pause_and_resume", "reset_over_stored_documents"),
    *("quota_of_a_fleet", "retention_nears", "spans_of_documents"),
    # They spoil the index, leave documents out or embed them again on purpose, which the columns would count as losses.
    *("empty_index_with_positions", "forced_run", "purge_and_an_old_dead_letter", "reconcile"),
    *("reconcile_under_load", "replay_of_what_never_passes", "tenant_deleted_while_republished"),
    # Its document is embedded by chunks, which the books of the provider do not tell from others.
    "huge_document_killed_half_way",
)
"""Scenarios that the table leaves out."""


def table(costs: list[Cost]) -> str:
    """Return the matrix in Markdown; every row needs the report of its scenario."""
    notes: list[str] = []
    lines = [_line(row, [one for one in costs if one.scenario == f"test_{row.scenario}"], notes) for row in ROWS]
    told = [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join([HEAD, *lines, "", *told])


def _line(row: Row, costs: list[Cost], notes: list[str]) -> str:
    paid = sum(cost.paid_twice for cost in costs)
    dead = 0 if row.deaths else sum(cost.dead_lettered for cost in costs)
    meant = sum(cost.dead_letters for cost in costs) - dead
    seconds = [cost.recovered_s for cost in costs if cost.recovered_s is not None]
    cells = [
        row.fault,
        sum(cost.lost for cost in costs),
        sum(cost.duplicated for cost in costs),
        sum(cost.rolled_back for cost in costs),
        f"{dead}, {meant} meant {_mark(BY_DESIGN, notes)}" if meant else dead,
        f"{paid} {_mark(row.note, notes)}" if row.note and (paid or row.note == FORGOTTEN) else paid,
        " ".join(
            [*(f"{second:.1f}" for second in sorted(seconds)[-1:]), *([_mark(row.slow, notes)] if row.slow else [])]
        ),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _mark(note: str, notes: list[str]) -> str:
    if note not in notes:
        notes.append(note)
    return f"<sup>{notes.index(note) + 1}</sup>"


def write(page: Path, costs: list[Cost]) -> None:
    """Put the matrix between the markers of *page*."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{page} does not hold {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{table(costs)}\n{END}{after}", "utf-8")


def main(argument: str) -> None:
    """Write the page, or tell the scenarios."""
    if argument == "--files":
        sys.stdout.writelines(f"tests/scenarios/test_{row.scenario}.py\n" for row in ROWS)
        return
    costs = [msgspec.json.decode(line, type=Cost) for line in Path(argument).read_bytes().splitlines()]
    reported = {cost.scenario for cost in costs}
    if missing := [row.scenario for row in ROWS if f"test_{row.scenario}" not in reported]:
        raise SystemExit(f"no report of {', '.join(missing)}")
    write(PAGE, costs)


if __name__ == "__main__":
    main(*sys.argv[1:])
