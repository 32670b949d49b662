"""Decides how a span of time is measured: who used how much processor from its begin to its end."""

import time

from rig import proc
from rig.row import Row
from rig.site import Site


class Meter:
    """Readings since it was made. The process is a worker, or 0 where the caller knows its time."""

    def __init__(self, site: Site, pid: int) -> None:
        self._site = site
        self._pid = pid
        self._begin = self._read()

    def _read(self) -> tuple[float, float, float, float, float]:
        site = self._site
        return (
            time.monotonic(),
            proc.cpu_seconds(self._pid) if self._pid else 0.0,
            site.broker.process.cpu_seconds(),
            site.database.cpu_seconds() if site.database else 0.0,
            proc.machine_busy_seconds(),
        )

    def elapsed(self) -> float:
        return time.monotonic() - self._begin[0]

    def stop(self, row: Row, worker_cpu_s: float | None = None) -> None:
        """Writes the span into a row."""
        wall, worker, broker, database, machine = (
            now - then for now, then in zip(self._read(), self._begin, strict=True)
        )
        row.wall_s = wall
        row.cpu_s = worker if worker_cpu_s is None else worker_cpu_s
        row.broker_cpu_s = broker
        row.database_cpu_s = database
        row.other_cores = max(0.0, (machine - row.cpu_s - broker - database) / wall)
