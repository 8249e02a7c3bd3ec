"""How is a run written down? As docs/performance.md."""

import textwrap
from collections.abc import Iterable, Sequence

from compose.bench.page import Page
from compose.bench.results import Cpu, Plan, Report
from compose.bench.run import words_of

FUNCTIONS = 20
FEW = 20.0
WIDTH = 120
HEAD = """\
Written by `make performance`, from one run of `headrace bench --write docs/performance.md`: {software}, Python
{python}, {cpus} CPUs shared by everything ({place}), {documents:,} documents of {characters} characters, one chunk
each, with {dimensions} dimensions unless said otherwise, no vector index unless said. {runs},
{minutes} minutes in all. Absolute numbers are those of one machine; ratios are taken in one run, and travel better.
"""
MIDDLE = """
## Runs

The **bare loop** is the least code that pulls, looks up, embeds and upserts into the same tables, with no guarantee:
it commits what it has read, not what it has stored, and a fault of any part ends it. What the worker costs beyond it
is the price of the guarantees. Every run has a topic, a group and an index of its own; its documents become readable
all at once, to a program that has joined its group and waits, and must come to be stored once and embedded once, else
there is no result. CPU is in seconds for 1,000 documents, memory the most that the program ever held.

"""
WORKLOADS = """
- **load**: documents that the index does not know.
- **unchanged**: the very records that the index holds, as after an offset reset.
- **changed**: all documents published again, one in twenty with another text.
- **updates**: all documents with another text.
- **quiet**: a load of one tenant, and one document of another behind it, whose milliseconds are shown.
- **… documents/s**: documents arrive one by one at that rate; milliseconds from the moment each was due to be published
  until the transaction that stored it was committed.

## Each stage alone

The limits that the parts set, and the worker's rate against them. `embed` sends texts and unpacks the replies, `unpack`
does the latter alone, `write` writes documents whose vectors are there. All of them but drain, decode and unpack share
the CPUs with the server that they talk to.

"""
PROFILE = """
## Where the time goes

One more run of the first load with a provider of 0 ms, looked at from inside 500 times a second: {us} microseconds of
CPU a document. Looking itself takes a few per cent more, which are not counted.

"""
REPEAT = """
## To repeat it

```
make performance                                     this page, about a quarter of an hour
make bench                                           first load against the bare loop, a minute or two
headrace bench --workload unchanged --workload updates
headrace bench --rate 100 --documents 2000 --latency-ms 20
headrace bench --sizes huge --documents 20
headrace bench --profile                             where CPU time goes, with stacks for speedscope or a flame graph
headrace bench --bootstrap-servers HOST:9092 --dsn postgresql://... --base-url https://.../v1
```

On servers of your own, topics, groups and schemas get names that begin with `bench_` and are removed afterwards; a
provider of your own bills for what it embeds.
"""


def page_of(page: Page) -> str:
    """Return the page."""
    told, case = page.report, page.report.plan.case
    head = HEAD.format(
        software=told.software,
        python=told.python,
        cpus=told.cpus,
        place=told.place,
        documents=case.documents,
        characters=case.characters,
        dimensions=f"{case.dimensions:,}",
        runs=_repeats(told.plan),
        minutes=f"{page.minutes:.0f}",
    )
    aims = [(aim.what, aim.aim, aim.reached, "yes" if aim.met else "**no**") for aim in page.aims]
    return (
        f"# How fast it is\n\n{textwrap.fill(head, WIDTH, break_on_hyphens=False)}\n\n## Aims\n\n"
        + _table(("what", "aim", "reached", "met"), aims, numbers=1)
        + MIDDLE
        + _runs(page)
        + WORKLOADS
        + _stages(told)
        + _profile(told)
        + REPEAT
    )


def _repeats(plan: Plan) -> str:
    if plan.repeat == 1:
        return "One run of each"
    return f"Medians of up to {plan.repeat} runs, of up to {plan.compared} beside the bare loop"


def _runs(page: Page) -> str:
    cpu = Cpu.__struct_fields__
    columns = ("program", "case", "documents", "dimensions", "documents/s", "MB/s", *cpu, "peak MB", "p50 ms", "p99 ms")
    rows = []
    for run in page.report.medians:
        latency = ("", "") if run.latency is None else (f"{run.latency.p50_ms:,.0f}", f"{run.latency.p99_ms:,.0f}")
        spent = [getattr(run.cpu, name) for name in cpu]
        rows.append(
            (
                run.program,
                words_of(run.case),
                f"{run.case.documents:,}",
                f"{run.case.dimensions:,}",
                _rate(run.documents_per_s),
                f"{run.mb_per_s:,.1f}",
                *("" if one is None else f"{one:.3f}" for one in spent),
                f"{run.peak_mb:,.0f}",
                *latency,
            )
        )
    direct, case = page.direct, page.report.plan.case
    told = (
        direct.name,
        "updates, HNSW",
        f"{direct.documents:,}",
        f"{case.dimensions:,}",
        _rate(direct.documents_per_s),
    )
    rows.append((*told, *[""] * (len(columns) - len(told))))
    return _table(columns, rows, numbers=2)


def _rate(documents_per_s: float) -> str:
    return f"{documents_per_s:,.0f}" if documents_per_s > FEW else f"{documents_per_s:.2f}"


def _stages(report: Report) -> str:
    found = {ratio.case.latency_ms: ratio.of_stages for ratio in report.ratios if ratio.rate is not None}
    rows = []
    for stage in report.stages:
        latency = 0 if stage.latency_ms is None else stage.latency_ms
        of = found.get(latency, {}).get(stage.name)
        name = stage.name if stage.latency_ms is None else f"{stage.name}, provider {stage.latency_ms} ms"
        rows.append((name, f"{stage.documents_per_s:,.0f}", "" if of is None else f"{of:.2f}"))
    return _table(("stage", "documents/s", "worker's rate of it"), rows, numbers=1)


def _profile(report: Report) -> str:
    profile = report.profile
    if profile is None:
        return ""
    steps = [(step.name, f"{step.us:.1f}", f"{step.us / profile.us:.0%}") for step in profile.steps]
    functions = [(f"{one.own_us:.1f}", f"{one.us:.1f}", f"`{one.name}`") for one in profile.functions[:FUNCTIONS]]
    return (
        PROFILE.format(us=f"{profile.us:.0f}")
        + _table(("step", "us a document", "share"), steps, numbers=1)
        + "\n"
        + _table(("own us", "with what it calls", "function"), functions, numbers=0, texts=1)
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int, texts: int = 0) -> str:
    """Return a table whose columns from *numbers* on, but for the last *texts*, are aligned at their right."""
    rules = ["---:" if numbers <= place < len(columns) - texts else "---" for place in range(len(columns))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (columns, rules, *rows))
