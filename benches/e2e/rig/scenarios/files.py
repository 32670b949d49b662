"""Lines of a file into a topic, values of a topic into a file."""

from pathlib import Path

from rig import data
from rig.data import Lines, Orders
from rig.digest import Digest, digest_file
from rig.floor import Floor, consume, produce
from rig.peer import Peer
from rig.process import run
from rig.scenarios.scenario import JSON, STRING, Copy, check, topic_digest
from rig.site import Site
from rig.worker import Job

_SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"
SINK = "org.apache.kafka.connect.file.FileStreamSinkConnector"
_STRINGS = {"key.converter": STRING, "value.converter": STRING}


class FileSource(Copy):
    name = "file-source"
    title = "File source"
    about = (
        "FileStreamSource, lines of 100 characters into a topic of one partition, StringConverter. "
        "Tuned: batch.size=10000. Raw client: kcat -P -l."
    )

    def prepare(self, site: Site) -> None:
        self._lines = data.lines(site.data, site.sizes.records)

    def job(self, site: Site, peer: Peer, tag: str) -> Job:
        site.kafka.create(tag, 1)
        return Job(
            config={
                "connector.class": _SOURCE,
                "tasks.max": "1",
                "file": str(self._lines.path),
                "topic": tag,
                **_STRINGS,
                **({"batch.size": "10000"} if peer.is_tuned else {}),
                **peer.producer_settings,
            },
            progress=lambda: site.kafka.records(tag),
            goal=self._lines.count,
            records=self._lines.count,
            bytes=self._lines.bytes,
            check=lambda: check("topic", topic_digest(site, tag), self._lines.digest),
            clear=lambda: site.kafka.delete(tag),
        )

    def floor(self, site: Site, tag: str) -> Floor:
        site.kafka.create(tag, 1)
        return Floor(
            commands=[produce(site.broker.address, tag, self._lines.path)],
            output=None,
            records=self._lines.count,
            bytes=self._lines.bytes,
            check=lambda: check("topic", topic_digest(site, tag), self._lines.digest),
            clear=lambda: site.kafka.delete(tag),
        )


class _ToFile(Copy):
    """A topic that is filled once into a file a job."""

    partitions = 1
    converters: dict[str, str] = {}

    def values(self, site: Site) -> Lines:
        """What the topic holds."""
        raise NotImplementedError

    def expected(self) -> tuple[Digest, int]:
        """What the file must hold, and its size."""
        raise NotImplementedError

    def prepare(self, site: Site) -> None:
        self._values = self.values(site)
        self._topic = f"{self.name}-values"
        fill(site, self._topic, self.partitions, self._values)

    def finish(self, site: Site) -> None:
        site.kafka.delete(self._topic)

    def job(self, site: Site, peer: Peer, tag: str) -> Job:
        file = site.scratch / f"{tag}.txt"
        file.touch()
        expected, size = self.expected()
        return Job(
            config={
                "connector.class": SINK,
                "tasks.max": "1",
                "file": str(file),
                "topics": self._topic,
                **self.converters,
                **peer.consumer_settings,
            },
            progress=lambda: file.stat().st_size,
            goal=size,
            records=self._values.count,
            bytes=self._values.bytes,
            check=lambda: check("file", digest_file(file), expected),
            clear=file.unlink,
        )

    def floor(self, site: Site, tag: str) -> Floor:
        file = site.scratch / f"{tag}.txt"
        return Floor(
            commands=[consume(site.broker.address, self._topic)],
            output=file,
            records=self._values.count,
            bytes=self._values.bytes,
            check=lambda: check("file", digest_file(file), self._values.digest),
            clear=lambda: file.unlink(missing_ok=True),
        )


class FileSink(_ToFile):
    name = "file-sink"
    title = "File sink"
    about = (
        "FileStreamSink, values of 100 characters in four partitions into a file, one task, "
        "StringConverter. Raw client: kcat -C into a file."
    )
    partitions = 4
    converters = _STRINGS

    def values(self, site: Site) -> Lines:
        return data.lines(site.data, site.sizes.records)

    def expected(self) -> tuple[Digest, int]:
        return self._values.digest, self._values.bytes


class JsonSink(_ToFile):
    name = "json-sink"
    title = "JSON sink"
    about = (
        "JsonConverter with schemas.enable=true: orders of eight fields, 730 bytes with their "
        "schema, in one partition; FileStreamSink prints each Struct. "
        "Raw client: kcat -C into a file, which parses nothing."
    )
    converters = {
        "key.converter": STRING,
        "value.converter": JSON,
        "value.converter.schemas.enable": "true",
    }
    _orders: Orders

    def values(self, site: Site) -> Lines:
        self._orders = data.orders(site.data, site.sizes.orders)
        return self._orders.envelopes

    def expected(self) -> tuple[Digest, int]:
        return self._orders.structs, self._orders.structs_bytes


def fill(site: Site, topic: str, partitions: int, values: Lines) -> None:
    """Makes a topic of a file's lines, in order within each partition, and checks it."""
    site.kafka.create(topic, partitions)
    command = produce(site.broker.address, topic, Path(values.path))
    # Without keys kcat picks a partition anew every so often: more often spreads more evenly.
    run([*command, "-X", "sticky.partitioning.linger.ms=1"], site.scratch / "fill.log")
    check(f"topic {topic}", topic_digest(site, topic), values.digest)
