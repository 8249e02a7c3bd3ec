"""The table of what each fault cost."""

from pathlib import Path

import pytest

from tests.scenarios import matrix
from tests.scenarios.faults import Cost
from tests.scenarios.matrix import BEGIN, BILLED, END, NO_ROWS, ROWS, Row, table, write

SCENARIOS = Path(matrix.__file__).parent


def cost(row: Row, *, lost: int = 0, dead_lettered: int = 0, paid_twice: int = 0, recovered_s: float = 1.0) -> Cost:
    return Cost(f"test_{row.scenario}", 10, lost, 0, 0, dead_lettered, dead_lettered, paid_twice, recovered_s)


def line_of(row: Row, costs: list[Cost]) -> str:
    others = [cost(other) for other in ROWS if other != row]
    [line] = [line for line in table([*costs, *others]).splitlines() if line.startswith(f"| {row.fault} |")]
    return line


def row_of(scenario: str) -> Row:
    [row] = [row for row in ROWS if row.scenario == scenario]
    return row


def test_every_row_has_its_scenario() -> None:
    assert [row.scenario for row in ROWS if not (SCENARIOS / f"test_{row.scenario}.py").is_file()] == []
    assert len({row.scenario for row in ROWS}) == len(ROWS)


def test_every_scenario_has_its_row_or_is_left_out_with_a_reason() -> None:
    there = {path.stem.removeprefix("test_") for path in SCENARIOS.glob("test_*.py")}
    rows = {row.scenario for row in ROWS}
    assert there - rows - set(NO_ROWS) == set()
    assert rows & set(NO_ROWS) == set()


def test_the_tests_of_a_scenario_are_added_up_and_the_slowest_recovery_is_told() -> None:
    row = row_of("calls_that_hang")
    costs = [cost(row, lost=1, recovered_s=2.0), cost(row, lost=2, dead_lettered=1, recovered_s=1.5)]
    assert line_of(row, costs) == f"| {row.fault} | 3 | 0 | 0 | 1 | 0 | 2.0 |"


def test_what_is_paid_twice_by_design_says_why() -> None:
    row = row_of("malformed_replies")
    assert "4 <sup>" in line_of(row, [cost(row, paid_twice=4)])
    assert BILLED in table([cost(row, paid_twice=4)])


def test_dead_letters_that_a_scenario_makes_are_told_apart() -> None:
    row = row_of("flood_of_dead_letters")
    assert "| 0, 7 meant <sup>" in line_of(row, [cost(row, dead_lettered=7)])


def test_the_page_keeps_what_stands_around_the_table(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, [])
    told = page.read_text()
    assert told.startswith(f"before\n{BEGIN}\n| fault |")
    assert told.endswith(f"\n{END}\nafter\n")
    assert "old\n" not in told


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text("before\n")
    with pytest.raises(SystemExit, match="does not hold"):
        write(page, [])
    assert page.read_text() == "before\n"
