"""Decides how a peer's standalone worker is started, given a job, watched and ended."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from rig import proc
from rig.java import UNLISTED
from rig.meter import Meter
from rig.peer import Peer
from rig.process import Failure, Process, free_port
from rig.profile import Profile
from rig.rest import Rest
from rig.row import Row
from rig.site import Site

_START_S = 120
_STALL_S = 60
_ASK_S = 2.0
_JSON = "org.apache.kafka.connect.json.JsonConverter"


@dataclass
class Job:
    """A connector that copies a known amount."""

    config: dict[str, str]
    progress: Callable[[], int]  # what has arrived, in the unit of `goal`
    goal: int
    records: int
    bytes: int
    check: Callable[[], str]  # what was found right; a `Failure` for anything wrong
    clear: Callable[[], None]
    look_s: float = 0.02  # between two looks at the progress


class Worker:
    """A running standalone worker of one peer."""

    def __init__(self, site: Site, peer: Peer, plugins: tuple[str, ...], tag: str) -> None:
        self._site = site
        self._is_java = peer.program == "java"
        port = free_port()
        properties = {
            "bootstrap.servers": site.broker.address,
            "listeners": f"http://127.0.0.1:{port}",
            "key.converter": _JSON,
            "value.converter": _JSON,
            "offset.storage.file.filename": str(site.scratch / f"{tag}.offsets"),
            "offset.flush.interval.ms": "10000",
            "plugin.path": site.programs.java.plugin_path(plugins),
            **({} if UNLISTED & set(plugins) else peer.worker_settings),
        }
        file = site.folder / "logs" / f"{tag}.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        command = site.programs.command(peer, file)
        self.start = Row("", peer.name, 0, 0)
        begin = time.monotonic()
        self.process = Process(command, file.with_suffix(".log"))
        self.rest = Rest(port)
        self._wait_for_rest(begin)

    def _wait_for_rest(self, begin: float) -> None:
        while not self.rest.answers("/connectors"):
            if self.process.exit_code() is not None:
                raise Failure(f"the worker ended at once:\n{self.process.tail()}")
            if time.monotonic() - begin > _START_S:
                self.process.stop()
                raise Failure(f"no answer within {_START_S} s, see {self.process.log}")
            time.sleep(0.002)
        self.start.wall_s = time.monotonic() - begin
        self.start.cpu_s = self.process.cpu_seconds()
        self.start.rss_mb, self.start.peak_mb = proc.memory_mb(self.process.pid)

    def run(self, name: str, job: Job, row: Row) -> None:
        """Has a job done, and writes what it took into the row. A wrong result is a failed row."""
        self._site.settle()
        proc.reset_peak(self.process.pid)
        row.records, row.bytes = job.records, job.bytes
        profile = self._profile(name)
        meter = Meter(self._site, self.process.pid)
        try:
            self.rest.put_connector(name, job.config)
            self._watch(name, job, row, meter)
            meter.stop(row)
            row.rss_mb, row.peak_mb = proc.memory_mb(self.process.pid)
            self.rest.delete_connector(name)
            row.note = job.check()
        except Failure as failure:
            row.ok, row.note = False, f"{failure} (log: {self.process.log})"
        finally:
            if profile:
                print(f"  profile: {profile.stop()}", flush=True)
            job.clear()

    def _profile(self, name: str) -> Profile | None:
        # Java's functions have no names that perf could read.
        if not self._site.sizes.profile or self._is_java:
            return None
        return Profile(self.process.pid, self._site.folder / "logs" / f"{name}.log")

    def _watch(self, name: str, job: Job, row: Row, meter: Meter) -> None:
        last, moved, asked = 0, time.monotonic(), time.monotonic()
        while (arrived := job.progress()) < job.goal:
            now = time.monotonic()
            if arrived > last:
                row.first_s = row.first_s or meter.elapsed()
                last, moved = arrived, now
            elif now - moved > _STALL_S:
                raise Failure(f"stands at {arrived:,} of {job.goal:,} for {_STALL_S} s")
            if now - asked > _ASK_S:
                self._ask_for_trouble(name)
                asked = now
            time.sleep(job.look_s)

    def _ask_for_trouble(self, name: str) -> None:
        if self.process.exit_code() is not None:
            raise Failure(f"the worker ended:\n{self.process.tail()}")
        trouble = self.rest.trouble(name)
        if trouble:
            raise Failure(f"the connector failed: {trouble}")

    def stop(self) -> None:
        self.process.stop()
