"""Decides what a scenario is: for each peer and turn it gives rows of raw data."""

import subprocess
from collections.abc import Callable

from rig.digest import Digest, digest
from rig.floor import Floor, consume, run_floor
from rig.peer import KCAT, Peer
from rig.process import Failure, Process
from rig.row import Row
from rig.site import Site
from rig.worker import Job, Worker

STRING = "org.apache.kafka.connect.storage.StringConverter"
JSON = "org.apache.kafka.connect.json.JsonConverter"
BYTES = "org.apache.kafka.connect.converters.ByteArrayConverter"


class Scenario:
    """One thing that is measured."""

    name = ""
    title = ""
    about = ""  # what a reader of the report has to know to judge the figures
    programs: tuple[str, ...] = ("java", "millrace", "before")
    plugins: tuple[str, ...] = ("file",)  # Java's
    has_floor = True
    floor_peer = KCAT
    most_runs = 1_000

    def prepare(self, site: Site) -> None:
        """Makes data and topics that all of the runs share."""

    def measure(self, site: Site, peer: Peer, run: int) -> list[Row]:
        """One worker's rows."""
        raise NotImplementedError

    def measure_floor(self, site: Site, run: int) -> list[Row]:
        """The raw clients' rows."""
        raise NotImplementedError

    def finish(self, site: Site) -> None:
        """Removes what `prepare` made in the servers."""


class Copy(Scenario):
    """A fresh worker copies the same data several times: first cold, then warm."""

    def job(self, site: Site, peer: Peer, tag: str) -> Job:
        """The copy; topics, files and connectors of this job carry the tag in their names."""
        raise NotImplementedError

    def floor(self, site: Site, tag: str) -> Floor:
        """The same copy by raw clients."""
        raise NotImplementedError

    def measure(self, site: Site, peer: Peer, run: int) -> list[Row]:
        tag = f"{self.name}-{peer.name}-{run}"
        rows: list[Row] = []
        worker = Worker(site, peer, self.plugins, tag)
        try:
            for number in range(1, site.sizes.jobs + 1):
                row = Row(self.name, peer.name, run, number)
                rows.append(row)
                name = f"{tag}-{number}"
                worker.run(name, self.job(site, peer, name), row)
                if not row.ok:
                    break
        finally:
            worker.stop()
        return rows

    def measure_floor(self, site: Site, run: int) -> list[Row]:
        row = Row(self.name, self.floor_peer, run, 1)
        tag = f"{self.name}-{self.floor_peer}-{run}"
        run_floor(site, self.floor(site, tag), row)
        return [row]


def check(what: str, found: Digest, expected: Digest) -> str:
    """The note of a right result."""
    if found != expected:
        raise Failure(f"WRONG RESULT: {what} holds {found}, not {expected}")
    return f"{what}: {found}"


def topic_digest(site: Site, topic: str, part: Callable[[bytes], bytes] | None = None) -> Digest:
    """Of the values in a topic, each a line."""
    reader = Process(
        consume(site.broker.address, topic), site.scratch / "check.log", stdout=subprocess.PIPE
    )
    try:
        return digest(reader.output, part)
    finally:
        reader.output.close()
        reader.wait(60)
