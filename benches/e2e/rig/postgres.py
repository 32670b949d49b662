"""Decides what database the run copies from and into: a fresh PostgreSQL cluster on loopback."""

import os
import pwd
import shutil
import signal
import tempfile
from pathlib import Path

from rig.data import TABLE_COLUMNS, Lines
from rig.process import Failure, Process, free_port, run, wait_until

USER = DATABASE = "bench"
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "logical",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "autovacuum": "off",
}


class Postgres:
    """A running server with one superuser, whose password may be anything."""

    def __init__(self, folder: Path) -> None:
        self._logs = folder
        self._programs = programs()
        # PostgreSQL refuses to run as root; another user sees nothing of root's home.
        user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="millrace-bench-postgres-"))
        if user:
            entry = pwd.getpwnam(user)
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
        self.port = free_port()
        data = str(self._folder / "data")
        self._init(data, user)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._folder,
            **SETTINGS,
        }
        options = [f"--{key}={value}" for key, value in settings.items()]
        self.process = Process(
            [str(self._programs / "postgres"), "-D", data, *options],
            self._log("postgres"),
            user=user,
            stop_with=signal.SIGINT,
        )
        wait_until("the database's start", 60, self._has_started)
        self.execute(f"create database {DATABASE}", "postgres")

    def _init(self, data: str, user: str | None) -> None:
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        initdb = [str(self._programs / "initdb"), "-D", data, f"--username={USER}", *options]
        run(initdb, self._log("initdb"), seconds=120, user=user)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _has_started(self) -> bool:
        if self.process.exit_code() is not None:
            raise Failure(f"PostgreSQL ended:\n{self.process.tail()}")
        return "ready to accept connections" in self.process.tail()

    def psql(self, statements: str, database: str = DATABASE) -> list[str]:
        """The command line that runs SQL and prints rows as text."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        quiet = ["-XqAt", "-v", "ON_ERROR_STOP=1"]
        return [str(self._programs / "psql"), *quiet, *where, "-c", statements]

    def execute(self, statements: str, database: str = DATABASE) -> None:
        """Runs SQL."""
        self.ask(statements, database)

    def ask(self, statements: str, database: str = DATABASE) -> str:
        """Runs SQL and gives back its rows as text."""
        return run(self.psql(statements, database), self._log("psql"), seconds=300).strip()

    def load(self, table: str, rows: Lines) -> None:
        """Makes a table of orders and fills it."""
        self.execute(f"drop table if exists {table}; create table {table} ({TABLE_COLUMNS})")
        self.execute(f"\\copy {table} from '{rows.path}'")
        self.execute(f"vacuum analyze {table}")

    def stop(self) -> None:
        self.process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def programs() -> Path:
    """The newest installed server's programs."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found:
        raise Failure("PostgreSQL is needed: `integration/setup.sh bench` installs it")
    return max(found, key=lambda path: int(path.parent.name))
