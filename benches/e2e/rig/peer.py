"""Decides who is measured with which settings: Java Connect and Millrace, as shipped and tuned.

"Tuned" is the same for both: client settings as connector overrides, in Java's names. Java gets,
beside them, the JVM options that were fastest on the machine this was tried on, and a start
without the scan of the class path.
"""

from dataclasses import dataclass
from pathlib import Path

from rig.java import KAFKA_JVM, Java

# connect-standalone.sh's KAFKA_HEAP_OPTS.
_SHIPPED_HEAP = "-Xms256M -Xmx2G"
_TUNED_HEAP = "-Xms2G -Xmx2G"
_TUNED_JVM = "-server -XX:+UseParallelGC -Djava.awt.headless=true"

# acks, in-flight requests and compression stay as Connect sets them: all, 1, none.
PRODUCER = {
    "batch.size": "524288",
    "linger.ms": "20",
    "buffer.memory": "67108864",
    "max.request.size": "4194304",
}
CONSUMER = {
    "max.poll.records": "5000",
    "max.partition.fetch.bytes": "4194304",
    "fetch.min.bytes": "65536",
    "receive.buffer.bytes": "1048576",
}


@dataclass(frozen=True)
class Peer:
    """One who is measured."""

    program: str  # java, millrace, or before: another Millrace binary
    variant: str  # default or tuned

    @property
    def name(self) -> str:
        return f"{self.program}-{self.variant}"

    @property
    def is_tuned(self) -> bool:
        return self.variant == "tuned"

    @property
    def worker_settings(self) -> dict[str, str]:
        return {"plugin.discovery": "service_load"} if self.is_tuned else {}

    @property
    def producer_settings(self) -> dict[str, str]:
        return _override("producer", PRODUCER) if self.is_tuned else {}

    @property
    def consumer_settings(self) -> dict[str, str]:
        return _override("consumer", CONSUMER) if self.is_tuned else {}


def _override(client: str, settings: dict[str, str]) -> dict[str, str]:
    return {f"{client}.override.{key}": value for key, value in settings.items()}


JAVA_DEFAULT = Peer("java", "default")
JAVA_TUNED = Peer("java", "tuned")
MILLRACE_DEFAULT = Peer("millrace", "default")
MILLRACE_TUNED = Peer("millrace", "tuned")
PEERS = (JAVA_DEFAULT, MILLRACE_DEFAULT, JAVA_TUNED, MILLRACE_TUNED)
BEFORE = (Peer("before", "default"), Peer("before", "tuned"))
KCAT, PSQL = RAW = "kcat", "psql"


@dataclass(frozen=True)
class Programs:
    """How each peer's standalone worker is started."""

    java: Java
    binaries: dict[str, Path]  # by program

    def command(self, peer: Peer, properties: Path) -> list[str]:
        if peer.program != "java":
            return [str(self.binaries[peer.program]), "standalone", str(properties)]
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        heap = _TUNED_HEAP if peer.is_tuned else _SHIPPED_HEAP
        jvm = _TUNED_JVM if peer.is_tuned else KAFKA_JVM
        return [*self.java.command(main, heap=heap, jvm=jvm), str(properties)]

    def options(self, peer: Peer) -> str:
        """What the report says of how it was run."""
        if peer.program != "java":
            return str(self.binaries[peer.program].name)
        return f"{_TUNED_HEAP} {_TUNED_JVM}" if peer.is_tuned else f"{_SHIPPED_HEAP} {KAFKA_JVM}"
