"""Decides how a case is measured: peers take turns, each a fresh process whose whole time counts."""

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from clients.peer import PARTITIONS, Case, Programs, command
from rig.broker import Broker
from rig.process import Failure, Process, run

_LIMIT_S = 600


@dataclass
class Row:
    """One turn of one client. Times are those of its process, begin to end."""

    case: str
    peer: str
    round: int
    records: int
    value_bytes: int
    user_s: float = 0.0
    system_s: float = 0.0
    wall_s: float = 0.0
    peak_mb: float = 0.0
    broker_cpu_s: float = 0.0
    topic_bytes_per_record: float = 0.0
    ok: bool = True
    note: str = ""

    @property
    def cpu_us_per_record(self) -> float:
        """Which is CPU-seconds a million records."""
        return (self.user_s + self.system_s) / self.records * 1e6

    @property
    def mb_per_s(self) -> float:
        return self.records * self.value_bytes / self.wall_s / 1e6


class Runner:
    """Measures cases on one broker and appends rows to a file."""

    def __init__(self, programs: Programs, broker: Broker, folder: Path) -> None:
        self._programs = programs
        self._broker = broker
        self._folder = folder
        self.rows: list[Row] = []

    def measure(self, case: Case, peers: list[str], records: int, rounds: int) -> None:
        self._prepare(case, records)
        source = f"bench-{case.value_bytes}-{case.compression}"
        if case.job == "consume":
            self._fill(case, source, records)
        for number in range(rounds):
            # Each round begins with another one: nobody always runs on a warm or a tired machine.
            first = number % len(peers)
            for peer in peers[first:] + peers[:first]:
                topic = source if case.job == "consume" else f"{source}-{peer}-{number}"
                self._turn(case, peer, topic, number, records)
        self._broker.kafka.delete(source)

    def _prepare(self, case: Case, records: int) -> None:
        payloads, lines = self._programs.payloads(case), self._programs.lines(case)
        if not payloads.exists():
            values = [str(self._programs.client), "payloads", "--value-bytes", str(case.value_bytes)]
            run(values, payloads)
        if case.job == "produce" and not lines.exists():
            text = payloads.read_bytes()
            with lines.open("wb") as file:
                for _ in range(records // 1000):
                    file.write(text)

    def _fill(self, case: Case, topic: str, records: int) -> None:
        """By one client for all: what is read has the same batches."""
        self._broker.kafka.create(topic, PARTITIONS)
        fill = Case("produce", case.value_bytes, case.compression)
        log = self._folder / "logs" / "fill.log"
        run(command(self._programs, "librdkafka", fill, topic, records), log)
        self._settle()

    def _turn(self, case: Case, peer: str, topic: str, number: int, records: int) -> None:
        kafka, row = self._broker.kafka, Row(case.name, peer, number, records, case.value_bytes)
        if case.job == "produce":
            kafka.create(topic, PARTITIONS)
        self._settle()
        log = self._folder / "logs" / f"{case.name}-{peer}-{number}.log".replace(" ", "-")
        broker, begin = self._broker.process.cpu_seconds(), time.monotonic()
        process = Process(command(self._programs, peer, case, topic, records), log)
        try:
            code, used = process.wait_usage(_LIMIT_S)
            row.wall_s = time.monotonic() - begin
            row.user_s, row.system_s = used.ru_utime, used.ru_stime
            row.peak_mb = used.ru_maxrss / 1024
            row.broker_cpu_s = self._broker.process.cpu_seconds() - broker
            row.note = "" if code == 0 else f"ended with {code}: {process.tail(3)}"
            there = kafka.records(topic)
            if there != records:
                row.note = f"{there} records in the topic, not {records}"
        except Failure as failure:
            row.note = str(failure)
        row.ok = not row.note
        if case.job == "consume" and row.ok and not self._read_all(peer, log, case, records):
            row.ok, row.note = False, "it did not read as many bytes as there are"
        self.rows.append(row)
        with (self._folder / "rows.jsonl").open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        figure = f"{row.cpu_us_per_record:.3f} s/M" if row.ok else row.note
        print(f"  {case.name}, {peer}, round {number + 1}: {figure}", flush=True)
        if case.job == "produce":
            kafka.delete(topic)

    def _read_all(self, peer: str, log: Path, case: Case, records: int) -> bool:
        """What the client itself says, or has written."""
        if peer == "kcat":
            enough = log.stat().st_size == records * (case.value_bytes + 1)
            log.write_text("")
            return enough
        if peer == "java":
            last = log.read_text().splitlines()[-1].split(", ")
            return int(last[4]) >= records
        said = json.loads(log.read_text().splitlines()[-1])
        return said == {"records": records, "bytes": records * case.value_bytes}

    def _settle(self) -> None:
        """Lets the broker come to rest."""
        os.sync()
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            before = self._broker.process.cpu_seconds()
            time.sleep(0.5)
            if self._broker.process.cpu_seconds() - before < 0.05:
                return


def scratch(path: Path) -> Path:
    """An empty folder for what a run makes."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
