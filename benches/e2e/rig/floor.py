"""Decides how raw clients are measured: command lines that do the same copy without a worker."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rig import proc
from rig.meter import Meter
from rig.process import Failure, Process
from rig.row import Row
from rig.site import Site

_LIMIT_S = 600


@dataclass
class Floor:
    """A pipe of commands; each reads what the one before it writes."""

    commands: list[list[str]]
    output: Path | None  # of the last command; None where it writes to a server
    records: int
    bytes: int
    check: Callable[[], str]
    clear: Callable[[], None]


def consume(address: str, topic: str) -> list[str]:
    """The command that writes a topic's values as lines."""
    form = ["-C", "-q", "-e", "-o", "beginning", "-X", "check.crcs=true"]
    return ["kcat", *form, "-b", address, "-t", topic]


def produce(address: str, topic: str, file: Path | None = None) -> list[str]:
    """The command that sends lines, of a file or of its input, as values."""
    source = ["-l", str(file)] if file else []
    # One request at a time, as a source task of Connect has it.
    form = ["-P", "-X", "acks=all", "-X", "max.in.flight.requests.per.connection=1"]
    return ["kcat", *form, "-b", address, "-t", topic, *source]


def run_floor(site: Site, floor: Floor, row: Row) -> None:
    """Runs the pipe and writes what its commands took into the row."""
    site.settle()
    row.records, row.bytes = floor.records, floor.bytes
    meter = Meter(site, 0)
    try:
        cpu = _run(site, floor, row)
        meter.stop(row, cpu)
        row.note = floor.check()
    except Failure as failure:
        row.ok, row.note = False, str(failure)
    finally:
        floor.clear()


def _run(site: Site, floor: Floor, row: Row) -> float:
    living = _start(site, floor)
    begin, cpu = time.monotonic(), 0.0
    peaks: dict[int, float] = {}
    while living:
        if time.monotonic() - begin > _LIMIT_S:
            raise Failure(f"the raw client took more than {_LIMIT_S} s")
        for process in list(living):
            peaks[process.pid] = max(peaks.get(process.pid, 0), proc.memory_mb(process.pid)[1])
            used = process.usage()
            if used is None:
                continue
            living.remove(process)
            code, seconds = used
            cpu += seconds
            if code != 0:
                raise Failure(f"{process.name} ended with {code}:\n{process.tail()}")
        time.sleep(0.01)
    row.peak_mb = sum(peaks.values())
    return cpu


def _start(site: Site, floor: Floor) -> list[Process]:
    started: list[Process] = []
    for number, command in enumerate(floor.commands):
        is_last = number == len(floor.commands) - 1
        log = site.scratch / f"floor-{number}.log"
        source = started[-1].output if started else None
        if not is_last:
            started.append(Process(command, log, stdin=source, stdout=subprocess.PIPE))
        elif floor.output:
            with floor.output.open("wb") as output:
                started.append(Process(command, log, stdin=source, stdout=output))
        else:
            started.append(Process(command, log, stdin=source))
        if source:
            source.close()  # ours; the child has its own
    return started
