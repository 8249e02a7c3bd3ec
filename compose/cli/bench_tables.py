"""How are the results of `headrace bench` shown in a terminal?"""

from rich.table import Table

from compose.bench.page import Page
from compose.bench.results import Cpu, Latency, Profile, Report
from compose.bench.run import words_of
from compose.cli.console import show, stdout, table_of

FUNCTIONS = 25


def show_report(report: Report) -> None:
    """Show what was measured."""
    plan, case = report.plan, report.plan.case
    texts = f"{case.characters} characters" if case.sizes == "fixed" else f"{case.sizes} size"
    about = (
        f"{case.documents:,} documents of {texts}, {case.dimensions} dimensions, {case.concurrency} calls at once, "
        f"median of {plan.repeat}; {report.place}; {report.software}, Python {report.python}, "
        f"{report.cpus} CPUs shared by everything"
    )
    parts = [_stages(report), _programs(report), _ratios(report)]
    if any(run.latency is not None for run in report.medians):
        parts.append(_latencies(report))
    if report.profile is not None:
        parts += [_steps(report.profile), _functions(report.profile)]
    show(stdout(), about, *(line for part in parts for line in ("", part)))


def show_aims(page: Page) -> None:
    """Show what was to be reached, and what was."""
    rows = [(aim.what, aim.aim, aim.reached, "yes" if aim.met else "no") for aim in page.aims]
    show(stdout(), table_of(("what", "aim", "reached", "met"), rows, "reached"))


def _stages(report: Report) -> Table:
    rows = [(one.name, _at(one.latency_ms), f"{one.documents_per_s:,.0f}") for one in report.stages]
    return table_of(("stage alone", "provider", "documents/s"), rows, "documents/s")


def _programs(report: Report) -> Table:
    columns = ("program", "case", "documents/s", "mb/s", "cpu", "broker", "database", "fake-api", "peak-mb")
    rows = [("", "", "", "", *["s/1,000"] * 4, "")]
    for run in report.medians:
        costs = ("" if cost is None else f"{cost:.3f}" for cost in (getattr(run.cpu, n) for n in Cpu.__struct_fields__))
        rates = (f"{run.documents_per_s:,.0f}", f"{run.mb_per_s:,.1f}")
        rows.append((run.program, words_of(run.case), *rates, *costs, f"{run.peak_mb:,.0f}"))
    return table_of(columns, rows, " ".join(columns[2:]))


def _ratios(report: Report) -> Table:
    """The worker against the bare loop, and its rate against each stage alone."""
    columns = ("worker against", "case", "bare-rate", "bare-cpu", *dict.fromkeys(s.name for s in report.stages))
    rows = [
        (
            "ratio",
            words_of(one.case),
            *("" if found is None else f"{found:.2f}" for found in (one.rate, one.cpu)),
            *(f"{one.of_stages[name]:.2f}" if name in one.of_stages else "" for name in columns[4:]),
        )
        for one in report.ratios
    ]
    return table_of(columns, rows, " ".join(columns[2:]))


def _latencies(report: Report) -> Table:
    names = Latency.__struct_fields__
    rows = [
        (run.program, words_of(run.case), *(f"{getattr(run.latency, name):,.1f}" for name in names))
        for run in report.medians
        if run.latency is not None
    ]
    columns = ("publish to visible", "case", *(name.replace("_", "-") for name in names))
    return table_of(columns, rows, " ".join(columns[2:]))


def _steps(profile: Profile) -> Table:
    rows = [(step.name, f"{step.us:.1f}", f"{step.us / profile.us:.0%}") for step in profile.steps]
    rows.append(("in all", f"{profile.us:.1f}", ""))
    return table_of(("worker's cpu by step", "us/document", "share"), rows, "us/document share")


def _functions(profile: Profile) -> Table:
    rows = [(f"{one.own_us:.2f}", f"{one.us:.2f}", one.name) for one in profile.functions[:FUNCTIONS]]
    return table_of(("own-us", "with-callees", "function"), rows, "own-us with-callees")


def _at(latency_ms: int | None) -> str:
    return "" if latency_ms is None else f"{latency_ms} ms"
