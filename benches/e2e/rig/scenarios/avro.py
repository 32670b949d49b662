"""Avro values of a topic, whose schema is in a registry, into a file."""

import shutil
import struct
import time

from rig import data
from rig.batches import batch
from rig.digest import digest_file
from rig.floor import Floor, consume
from rig.parquet import rows
from rig.peer import Peer
from rig.process import Failure
from rig.scenarios.files import SINK
from rig.scenarios.scenario import STRING, Copy, check
from rig.site import Site
from rig.worker import Job

_BATCH = 500
_APICURIO = "io.apicurio.registry.utils.converter.AvroConverter"
_CONFLUENT = "io.confluent.connect.avro.AvroConverter"


class AvroSink(Copy):
    name = "avro-sink"
    title = "Avro sink"
    about = (
        "AvroConverter with a registry: the orders of the JSON sink, 75 bytes in Avro, in one "
        "partition; FileStreamSink prints each Struct. Java's converter is Apicurio's, as "
        "Confluent's is not on Maven Central. Raw client: kcat -C into a file, which parses nothing."
    )
    plugins = ("file", "apicurio-avro")

    def prepare(self, site: Site) -> None:
        self._orders = data.orders(site.data, site.sizes.orders)
        self._topic = f"{self.name}-values"
        site.kafka.create(self._topic, 1)
        prefix = struct.pack(">bi", 0, site.registry.register(f"{self._topic}-value", data.AVRO_SCHEMA))
        now = int(time.time() * 1000)
        self._bytes = 0
        for bodies in data.avro_bodies(self._orders, _BATCH):
            values = [prefix + body for body in bodies]
            self._bytes += sum(map(len, values))
            site.kafka.append(self._topic, batch(values, now))
        found = site.kafka.records(self._topic)
        if found != self._orders.count:
            raise Failure(f"{self._topic} holds {found:,} records, not {self._orders.count:,}")

    def finish(self, site: Site) -> None:
        site.kafka.delete(self._topic)

    def _converter(self, site: Site, peer: Peer) -> dict[str, str]:
        if peer.program == "java":
            own = {
                "apicurio.registry.url": site.registry.own,
                "apicurio.registry.as-confluent": "true",
                "apicurio.registry.headers.enabled": "false",
            }
        else:
            own = {"schema.registry.url": site.registry.confluent}
        name = _APICURIO if peer.program == "java" else _CONFLUENT
        return {"value.converter": name} | {f"value.converter.{key}": one for key, one in own.items()}

    def job(self, site: Site, peer: Peer, tag: str) -> Job:
        file = site.scratch / f"{tag}.txt"
        file.touch()
        return Job(
            config={
                "connector.class": SINK,
                "tasks.max": "1",
                "file": str(file),
                "topics": self._topic,
                "key.converter": STRING,
                **self._converter(site, peer),
                **peer.consumer_settings,
            },
            progress=lambda: file.stat().st_size,
            goal=self._orders.structs_bytes,
            records=self._orders.count,
            bytes=self._bytes,
            check=lambda: check("file", digest_file(file), self._orders.structs),
            clear=file.unlink,
        )

    def floor(self, site: Site, tag: str) -> Floor:
        file = site.scratch / f"{tag}.txt"
        return Floor(
            commands=[consume(site.broker.address, self._topic)],
            output=file,
            records=self._orders.count,
            bytes=self._bytes,
            check=lambda: f"{self._orders.count:,} values",
            clear=lambda: file.unlink(missing_ok=True),
        )


class AvroLake(AvroSink):
    name = "avro-lake"
    title = "Avro into Parquet"
    about = (
        "The topic of the Avro sink into Parquet files, snappy, a quarter of the records each. "
        "Java has no such sink on Maven Central: compare with its Avro sink, which prints lines."
    )
    programs = ("millrace", "before")
    has_floor = False

    def job(self, site: Site, peer: Peer, tag: str) -> Job:
        folder = site.scratch / tag
        files = [0, 0]  # seen, and rows in them
        each = max(self._orders.count // 4, 1)
        goal = self._orders.count // each * each

        def progress() -> int:
            found = sorted(folder.rglob("*.parquet"))
            if len(found) != files[0]:
                files[:] = [len(found), sum(map(rows, found))]
            return files[1]

        return Job(
            config={
                "connector.class": "io.millrace.connect.lake.LakeSinkConnector",
                "tasks.max": "1",
                "store.url": f"file://{folder}",
                "flush.size": str(each),
                "topics": self._topic,
                "key.converter": STRING,
                **self._converter(site, peer),
                **peer.consumer_settings,
            },
            progress=progress,
            goal=goal,
            records=goal,
            bytes=self._bytes,
            check=lambda: f"{progress():,} rows",
            clear=lambda: shutil.rmtree(folder, ignore_errors=True),
        )
