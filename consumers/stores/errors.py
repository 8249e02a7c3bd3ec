"""Whose fault is it, by SQLSTATE?

==============================================  =====================================================================
SQLSTATE                                        becomes
==============================================  =====================================================================
22, 21, 54                                      RowRejected
23                                              RowRejected: a constraint that somebody added speaks about a value
40, 55, 08, 53, 57                              StoreUnavailable
25, 58, XX, 72, F0 and whatever is not here     StoreUnavailable: a failover to a read-only copy, a broken disk. Trying
                                                again loses nothing and is seen; a wrong verdict on a row loses it
42, 3F, 28, 22P03                               StoreMisconfigured: 22P03 says that a column has another type than ours
3D, 0A, 26, 34, 0L, 0P, 2F, 38, 39, P0          StoreMisconfigured: no such database, a server that is too old, a pooler
                                                without ``store.pgbouncer``, a trigger's own refusal
==============================================  =====================================================================

Codes that asyncpg raises without a server (a value it can not encode, a lost connection) are mapped by type.
No message holds the DSN, and none holds the detail of a PostgreSQL error, which quotes rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from asyncpg.exceptions import _base as client

from schemas.errors import RowRejected, StoreError, StoreMisconfigured, StoreUnavailable

BAD_DSN = "store.dsn can not be used: write postgresql://user:password@host:port/database"

AT_ONCE = ("40P01", "40001", "0A000")
"""A deadlock, a lost race, a plan that went stale in mid-transaction: the same again is likely to succeed."""

_ROW = ("21", "22", "23", "54")
_CONFIGURATION = ("0A", "0L", "0P", "22P03", "26", "28", "2F", "34", "38", "39", "3D", "3F", "42", "P0")
_FOREIGN = (
    asyncpg.PostgresError,
    client.InterfaceError,
    client.InternalClientError,
    OSError,
    TimeoutError,
    # uvloop's answer to a write on a connection that has just been lost.
    RuntimeError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever asyncpg raises into one of our errors."""
    try:
        yield
    except _FOREIGN as error:
        # What asyncpg says of a DSN may quote it, and a traceback would show that too.
        shown = None if isinstance(error, client.ClientConfigurationError) else error
        raise translate(error) from shown


def translate(error: Exception) -> StoreError | StoreMisconfigured:
    """Return our error for one of asyncpg's or of the operating system's."""
    if isinstance(error, asyncpg.PostgresError):
        # Its str() would add the detail, which quotes rows.
        return _by_sqlstate(error.sqlstate or "", str(error.args[0]) if error.args else type(error).__name__)
    if isinstance(error, client.ClientConfigurationError):
        return StoreMisconfigured(BAD_DSN)
    if isinstance(error, client.DataError):
        return RowRejected(f"A value can not be sent to PostgreSQL: {error}", sqlstate="22000")
    what = str(error) or type(error).__name__
    return StoreUnavailable(f"PostgreSQL does not answer: {what}")


def _by_sqlstate(sqlstate: str, message: str) -> StoreError | StoreMisconfigured:
    if sqlstate.startswith(_CONFIGURATION):
        return StoreMisconfigured(f"PostgreSQL refuses: {message} (SQLSTATE {sqlstate}). {_advice(sqlstate)}")
    if sqlstate.startswith(_ROW):
        return RowRejected(f"PostgreSQL refuses a value: {message} (SQLSTATE {sqlstate})", sqlstate=sqlstate)
    return StoreUnavailable(
        f"PostgreSQL can not do this now: {message} (SQLSTATE {sqlstate or 'unknown'})", sqlstate=sqlstate or None
    )


def _advice(sqlstate: str) -> str:
    if sqlstate.startswith(("26", "42P05")):
        return "Behind PgBouncer set store.pgbouncer = true."
    if sqlstate.startswith(("28", "3D")):
        return "Look at store.dsn."
    if sqlstate == "42501":
        return "Grant the role what is missing, or have a DBA run what headrace init prints with store.ddl = false."
    if sqlstate.startswith(("22P03", "3F", "42")):
        return "headrace check says what is missing, headrace init makes it."
    return "An operator has to look at the database."
