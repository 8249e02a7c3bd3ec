"""Whose fault is it? The table of SQLSTATE classes, and what never shows in a message."""

import asyncio
import traceback

import asyncpg
import pytest
from asyncpg.exceptions import _base as client

from consumers.stores.errors import translate, translated
from schemas.errors import RowRejected, StoreMisconfigured, StoreUnavailable

ROW, AWAY, WRONG = RowRejected, StoreUnavailable, StoreMisconfigured


def postgres_error(sqlstate: str) -> asyncpg.PostgresError:
    return asyncpg.PostgresError.new(
        {"C": sqlstate, "M": "what the server says", "D": "Failing row contains (private)"}
    )


@pytest.mark.parametrize(
    ("sqlstates", "becomes"),
    [
        ("22000 22003 22021 22P02 22P05 21000 54000 54001", ROW),
        ("23502 23505 23514", ROW),
        ("40001 40P01 40003 55P03 55006", AWAY),
        ("08000 08003 08006 08P01", AWAY),
        ("53100 53200 53300", AWAY),
        ("57014 57P01 57P02 57P03 57P05", AWAY),
        ("25006 25P02 25P03 58030 XX000 XX001 72000 F0000 99999", AWAY),
        ("42P01 42501 42703 42804 42883 3F000 28000 28P01", WRONG),
        ("3D000 0A000 26000 P0001 39000 22P03", WRONG),
    ],
)
def test_every_class_of_sqlstate_has_its_verdict(sqlstates: str, becomes: type[Exception]) -> None:
    for sqlstate in sqlstates.split():
        ours = translate(postgres_error(sqlstate))
        assert type(ours) is becomes, sqlstate
        assert sqlstate in str(ours)
        assert "private" not in str(ours)


def test_the_sqlstate_is_carried() -> None:
    assert getattr(translate(postgres_error("22021")), "sqlstate", None) == "22021"
    assert getattr(translate(postgres_error("57P01")), "sqlstate", None) == "57P01"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        ConnectionResetError(),
        FileNotFoundError(2, "no socket"),
        TimeoutError(),
        client.InterfaceError("connection is closed"),
        client.InternalClientError("got result for unknown protocol state 3"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        RuntimeError("unable to perform operation; the handler is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_connection_is_the_database_being_away(error: Exception) -> None:
    with pytest.raises(StoreUnavailable), translated():
        raise error


def test_a_value_that_can_not_be_encoded_is_the_row_s_fault() -> None:
    assert type(translate(client.DataError("invalid input for query argument $4"))) is RowRejected


def test_a_dsn_that_asyncpg_quotes_is_shown_nowhere() -> None:
    with pytest.raises(StoreMisconfigured) as refused, translated():
        raise client.ClientConfigurationError("invalid DSN: postgres://user:secret@host")
    assert "secret" not in "".join(traceback.format_exception(refused.value))


def test_our_own_errors_and_a_cancellation_pass_unchanged() -> None:
    with pytest.raises(RowRejected, match="ours"), translated():
        raise RowRejected("ours")
    with pytest.raises(asyncio.CancelledError), translated():
        raise asyncio.CancelledError
