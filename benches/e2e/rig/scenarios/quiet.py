"""A worker that has nothing to copy: how long its start takes, and what it holds while it waits."""

import time
from pathlib import Path

from rig import proc
from rig.meter import Meter
from rig.peer import Peer
from rig.process import wait_until
from rig.row import Row
from rig.scenarios.scenario import STRING, Scenario
from rig.site import Site
from rig.worker import Worker

_SOURCES = _SINKS = 5


class StartUp(Scenario):
    name = "start-up"
    title = "Start-up"
    about = (
        "From the start of the process until GET /connectors answers 200, without connectors. Java "
        "as shipped scans its class path (plugin.discovery=hybrid_warn), tuned it does not "
        "(service_load)."
    )
    has_floor = False

    def measure(self, site: Site, peer: Peer, run: int) -> list[Row]:
        site.settle()
        row = Row(self.name, peer.name, run, 1)
        meter = Meter(site, 0)
        worker = Worker(site, peer, self.plugins, f"{self.name}-{peer.name}-{run}")
        meter.stop(row, worker.start.cpu_s)
        row.wall_s = worker.start.wall_s
        row.rss_mb, row.peak_mb = worker.start.rss_mb, worker.start.peak_mb
        worker.stop()
        return [row]


class Idle(Scenario):
    name = "idle"
    title = "Idle"
    about = (
        f"After 30 s of rest: first without connectors, then with {_SOURCES} file sources at the "
        f"end of their files and {_SINKS} file sinks that have read all of their topics."
    )
    has_floor = False
    most_runs = 3  # a worker at rest hardly varies, and each look takes more than a minute

    def measure(self, site: Site, peer: Peer, run: int) -> list[Row]:
        tag = f"{self.name}-{peer.name}-{run}"
        worker = Worker(site, peer, self.plugins, tag)
        try:
            alone = self._watch(site, worker, Row(self.name, peer.name, run, 1))
            topics = self._add_connectors(site, worker, tag)
            busy = self._watch(site, worker, Row(self.name, peer.name, run, 2))
        finally:
            worker.stop()
        site.kafka.delete(*topics)
        return [alone, busy]

    @staticmethod
    def _watch(site: Site, worker: Worker, row: Row) -> Row:
        time.sleep(site.sizes.idle_settle_s)
        meter = Meter(site, worker.process.pid)
        time.sleep(site.sizes.idle_watch_s)
        meter.stop(row)
        row.rss_mb, row.peak_mb = proc.memory_mb(worker.process.pid)
        return row

    @staticmethod
    def _add_connectors(site: Site, worker: Worker, tag: str) -> list[str]:
        topics, names = [], []
        for number in range(max(_SOURCES, _SINKS)):
            topic = f"{tag}-{number}"
            site.kafka.create(topic, 1)
            topics.append(topic)
            file = Path(site.scratch, f"{topic}.txt")
            file.write_text("one line\n")
            for kind, config in _connectors(topic, file):
                names.append(f"{topic}-{kind}")
                worker.rest.put_connector(names[-1], config)
        for name in names:
            wait_until(f"task of {name}", 60, lambda: worker.rest.running_tasks(name) == 1)  # noqa: B023
        return topics


def _connectors(topic: str, file: Path) -> list[tuple[str, dict[str, str]]]:
    package = "org.apache.kafka.connect.file.FileStream"
    common = {"tasks.max": "1", "key.converter": STRING, "value.converter": STRING}
    source = {"connector.class": f"{package}SourceConnector", "file": str(file), "topic": topic}
    out = str(file.with_suffix(".out"))
    sink = {"connector.class": f"{package}SinkConnector", "file": out, "topics": topic}
    return [("source", {**common, **source}), ("sink", {**common, **sink})]
