"""Decides what broker a run copies through: one Kafka node on loopback, Kafka's own JVM options."""

import shutil
from pathlib import Path

from rig.java import Java
from rig.kafka import Kafka
from rig.process import Failure, Process, free_port, run, wait_until

_CLUSTER = "bWlsbHJhY2UtYmVuY2guLg"
_HEAP = "-Xms1G -Xmx1G"


class Broker:
    """A running broker, its log in a directory that is removed with it."""

    def __init__(self, java: Java, folder: Path) -> None:
        self._data = folder / "broker-data"
        shutil.rmtree(self._data, ignore_errors=True)
        port, controller = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        properties = folder / "broker.properties"
        properties.write_text(_properties(self.address, f"127.0.0.1:{controller}", self._data))
        storage = java.command("kafka.tools.StorageTool", heap="-Xmx256M")
        form = ["format", "-t", _CLUSTER, "-c", str(properties)]
        run([*storage, *form], folder / "broker-format.log", seconds=60)
        command = [*java.command("kafka.Kafka", heap=_HEAP), str(properties)]
        self.process = Process(command, folder / "broker.log")
        wait_until("the broker's start", 90, self._has_started)
        self.kafka = Kafka(self.address)

    def _has_started(self) -> bool:
        if self.process.exit_code() is not None:
            raise Failure(f"the broker ended:\n{self.process.tail()}")
        return "Kafka Server started" in self.process.tail(400)

    def stop(self) -> None:
        self.kafka.close()
        self.process.stop()
        shutil.rmtree(self._data, ignore_errors=True)


def _properties(address: str, controller: str, data: Path) -> str:
    internal = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{address},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{address}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        "num.network.threads": "2",
        "num.io.threads": "4",
        # One node, and one partition where a stock broker makes 50: groups start sooner.
        **{f"{topic}.replication.factor": "1" for topic in internal},
        **{f"{topic}.num.partitions": "1" for topic in internal},
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "log.segment.bytes": str(256 << 20),
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        "message.max.bytes": str(10 << 20),
        # Each job's half gigabyte goes soon after its topic is deleted.
        "log.segment.delete.delay.ms": "1000",
    }
    return "".join(f"{key}={value}\n" for key, value in properties.items())
