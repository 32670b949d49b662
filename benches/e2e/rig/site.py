"""Decides what the parts of a run share: the work directory, the servers, the sizes of the data."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rig.broker import Broker
from rig.kafka import Kafka
from rig.peer import Programs
from rig.postgres import Postgres
from rig.process import Process
from rig.registry import Registry

_SETTLED = 0.05  # of a core


@dataclass(frozen=True)
class Sizes:
    """How much is copied, how often, how long idle workers are watched, and whether with perf."""

    records: int
    jobs: int
    idle_settle_s: float
    idle_watch_s: float
    rows: int
    profile: bool = False  # workers that are not Java's, while they copy

    @property
    def orders(self) -> int:
        """Of 730 bytes where a line has 100; they cost more each."""
        return max(self.records // 5, 1)

    @property
    def inserts(self) -> int:
        """Rows into a database, slower again."""
        return max(self.records // 25, 1)


class Site:
    """What scenarios work with. Servers start when they are first asked for."""

    def __init__(self, work: Path, folder: Path, programs: Programs, sizes: Sizes) -> None:
        self.programs = programs
        self.sizes = sizes
        self.folder = folder
        self.data = work / "data"
        self.scratch = work / "scratch"
        shutil.rmtree(self.scratch, ignore_errors=True)
        for path in (folder / "logs", self.data, self.scratch):
            path.mkdir(parents=True, exist_ok=True)
        self.broker = Broker(programs.java, self.scratch)
        self._postgres: Postgres | None = None
        self._registry: Registry | None = None
        self._work = work

    @property
    def kafka(self) -> Kafka:
        return self.broker.kafka

    @property
    def postgres(self) -> Postgres:
        if self._postgres is None:
            self._postgres = Postgres(self.scratch)
        return self._postgres

    @property
    def registry(self) -> Registry:
        if self._registry is None:
            self._registry = Registry(self._work, self.scratch)
        return self._registry

    @property
    def database(self) -> Process | None:
        """The database's process, where a scenario has asked for it."""
        return self._postgres.process if self._postgres else None

    def settle(self) -> None:
        """Lets what went before end: nothing to be written, broker and database at rest."""
        os.sync()
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            before = self._servers_cpu()
            time.sleep(0.5)
            if (self._servers_cpu() - before) / 0.5 <= _SETTLED:
                return

    def _servers_cpu(self) -> float:
        database = self.database.cpu_seconds() if self.database else 0.0
        return self.broker.process.cpu_seconds() + database

    def close(self) -> None:
        self.broker.stop()
        if self._postgres:
            self._postgres.stop()
        if self._registry:
            self._registry.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)
