"""Decides what is read from /proc: processor time and memory of a process with its children."""

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and all of its living descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found.extend(int(child) for child in children.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # the thread ended while we looked
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree so far, with that of children that ended."""
    total = 0.0
    for member in tree(pid):
        try:
            total += time.clock_gettime(_cpu_clock(member))
            stat = Path(f"/proc/{member}/stat").read_text()
        except OSError:
            continue  # it ended while we looked; its parent has its time
        # The name in brackets may hold spaces. Fields 16 and 17: the time of children that ended.
        fields = stat.rsplit(")", 1)[1].split()
        total += sum(int(field) for field in fields[13:15]) / _TICKS
    return total


def _cpu_clock(pid: int) -> int:
    """The clock of a process (clock_getcpuclockid(3)): exact where `stat` counts hundredths."""
    return (~pid << 3) | 2


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of the tree, now and at its highest since `reset_peak`."""
    now = peak = 0.0
    for member in tree(pid):
        try:
            status = Path(f"/proc/{member}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in status.splitlines():
            if line.startswith("VmRSS:"):
                now += int(line.split()[1]) / 1024
            elif line.startswith("VmHWM:"):
                peak += int(line.split()[1]) / 1024
    return now, peak


def reset_peak(pid: int) -> None:
    """Lets `memory_mb` count its peak from now on."""
    for member in tree(pid):
        Path(f"/proc/{member}/clear_refs").write_text("5")


def machine_busy_seconds() -> float:
    """Processor time of the whole machine that was not idle, so far."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(
            int, stat.readline().split()[1:9]
        )
    return (user + nice + system + irq + softirq + steal) / _TICKS
