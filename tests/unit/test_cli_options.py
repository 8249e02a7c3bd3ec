"""What every command takes, and how it ends."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from compose.cli.errors import explain, guarded, leaves, report
from compose.cli.options import configured, with_common_options
from schemas.errors import BrokerUnavailable, ConfigurationError, HeadraceError, StoreUnavailable


def run(function: Callable[..., Any], *arguments: str) -> int:
    """Run a function as a command; return its exit code."""
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(guarded(with_common_options(function)))
    with pytest.raises(SystemExit) as ended:
        app(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(autouse=True)
def elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_common_options_reach_the_configuration_and_own_ones_the_command() -> None:
    seen: list[object] = []

    def command(limit: Annotated[int, typer.Option()] = 3) -> None:
        found = configured(kafka__topic="own", kafka__group=None)
        seen.extend((limit, found.settings.store.index, found.settings.kafka.topic, found.sources["kafka.group"]))

    assert run(command, "--limit", "5", "--index", "mine", "--set", "kafka.group=a=b") == 0
    assert seen == [5, "mine", "own", "flag"]


def test_a_common_option_wins_over_what_the_command_would_say() -> None:
    seen = []
    assert run(lambda: seen.append(configured(kafka__topic="own").settings.kafka.topic), "--topic", "told") == 0
    assert seen == ["told"]


def configured_plainly() -> None:
    configured()


def test_a_set_without_a_value_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(configured_plainly, "--set", "kafka.topic") == 2
    assert "--set kafka.topic: write --set section.name=value" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HeadraceError("no"), 1),
        (BrokerUnavailable("no"), 1),
        (ConfigurationError("no"), 2),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("no"), 1),
        (ExceptionGroup("tasks", [StoreUnavailable("no"), ConfigurationError("no")]), 2),
        (BaseExceptionGroup("tasks", [StoreUnavailable("no"), KeyboardInterrupt()]), 130),
    ],
)
def test_each_kind_of_failure_has_its_exit_code_and_no_traceback(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def command() -> None:
        await asyncio.sleep(0)
        raise error

    def plain() -> None:
        raise error

    for function in (command, plain) if isinstance(error, Exception) else (plain,):
        assert run(function) == code
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("headrace: ")
        assert "Traceback" not in captured.err


def test_debug_shows_where_it_happened(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise HeadraceError("no")

    assert run(command, "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_answer_that_is_no_failure_keeps_its_exit_code() -> None:
    def command() -> None:
        raise typer.Exit(7)

    assert run(command) == 7


def test_tasks_that_fail_alike_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    inner = ExceptionGroup("inner", [BrokerUnavailable("away"), BrokerUnavailable("away")])
    assert len(leaves(ExceptionGroup("outer", [inner, BrokerUnavailable("away")]))) == 1
    assert report(inner) == 1
    assert capsys.readouterr().err.count("away") == 1


def test_a_part_that_is_away_is_told_with_what_to_do_and_a_defect_with_how_to_report_it() -> None:
    assert "`headrace check`" in explain(BrokerUnavailable("away"))
    assert "store.dsn" in explain(StoreUnavailable("away"))
    assert "--debug" in explain(ZeroDivisionError("no"))
    assert "headrace[embedded]" in explain(ModuleNotFoundError("no", name="jgo"))
