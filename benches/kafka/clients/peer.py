"""Decides which clients are measured, and what each is told: the same wherever they have the same settings."""

from dataclasses import dataclass
from pathlib import Path

from rig.java import Java

# Large batches, as a tuned Java client has them; crc on both sides.
PRODUCER = {"acks": "all", "batch.size": "131072", "linger.ms": "20"}
CONSUMER = {"check.crcs": "true", "max.poll.records": "5000"}
# librdkafka's own names. It counts a batch in bytes and records, and holds more records than it does by default.
RAW_PRODUCER = {
    "acks": "all",
    "batch.size": "131072",
    "batch.num.messages": "1000000",
    "linger.ms": "20",
    "queue.buffering.max.messages": "2000000",
}
RAW_CONSUMER = {
    "check.crcs": "true",
    "group.id": "bench",
    "enable.auto.commit": "false",
    "queued.min.messages": "1000000",
}
_HEAP = "-Xms2G -Xmx2G -XX:+UseParallelGC"
PARTITIONS = 4


@dataclass(frozen=True)
class Case:
    """What is moved, and which way."""

    job: str  # consume or produce
    value_bytes: int
    compression: str

    @property
    def name(self) -> str:
        return f"{self.job} {self.value_bytes} B {self.compression}"


@dataclass(frozen=True)
class Programs:
    """What the peers are made of."""

    client: Path  # the Rust client of millrace-benches
    java: Java
    address: str
    scratch: Path

    def payloads(self, case: Case) -> Path:
        """The values, a line each."""
        return self.scratch / f"values-{case.value_bytes}"

    def lines(self, case: Case) -> Path:
        """As many of them as are produced."""
        return self.scratch / f"lines-{case.value_bytes}"


PEERS = {
    "native": "our own client, through `trait Cluster`",
    "librdkafka": "librdkafka's batch calls, through `trait Cluster`",
    "raw": "librdkafka's batch calls alone: rd_kafka_consume_batch_queue, rd_kafka_produce_batch",
    "java": "Kafka's ConsumerPerformance and ProducerPerformance, 2 GB heap, ParallelGC",
    "kcat": "kcat, to and from a file",
}


def command(programs: Programs, peer: str, case: Case, topic: str, records: int) -> list[str]:
    """The command line that moves so many records."""
    if peer == "java":
        return _java(programs, case, topic, records)
    if peer == "kcat":
        return _kcat(programs, case, topic)
    settings = {"consume": CONSUMER, "produce": PRODUCER}
    if peer == "raw":
        settings = {"consume": RAW_CONSUMER, "produce": RAW_PRODUCER}
    properties = dict(settings[case.job])
    if case.job == "produce":
        properties["compression.type"] = case.compression
    return [
        *(str(programs.client), case.job, "--client", peer, "--bootstrap", programs.address),
        *("--topic", topic, "--partitions", str(PARTITIONS), "--records", str(records)),
        *("--value-bytes", str(case.value_bytes)),
        *(f"--set={key}={value}" for key, value in properties.items()),
    ]


def _java(programs: Programs, case: Case, topic: str, records: int) -> list[str]:
    consume = case.job == "consume"
    tool = "ConsumerPerformance" if consume else "ProducerPerformance"
    start = programs.java.command(f"org.apache.kafka.tools.{tool}", heap=_HEAP, jvm="-server")
    start += ["--bootstrap-server", programs.address, "--topic", topic]
    start += ["--num-records", str(records)]
    if consume:
        properties = programs.scratch / "java-consumer.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in CONSUMER.items()))
        return [*start, "--timeout", "60000", "--command-config", str(properties)]
    settings = {**PRODUCER, "compression.type": case.compression}
    return [
        *(*start, "--throughput", "-1", "--payload-file", str(programs.payloads(case))),
        *("--command-property", *(f"{key}={value}" for key, value in settings.items())),
    ]


def _kcat(programs: Programs, case: Case, topic: str) -> list[str]:
    start = ["kcat", "-b", programs.address, "-t", topic]
    if case.job == "consume":
        return [*start, "-C", "-q", "-e", "-o", "beginning", "-X", "check.crcs=true"]
    settings = {**RAW_PRODUCER, "compression.codec": case.compression}
    options = [part for key, value in settings.items() for part in ("-X", f"{key}={value}")]
    return [*start, "-P", *options, "-l", str(programs.lines(case))]
