"""Decides how a report describes where its figures come from."""

import hashlib
import os
import platform
import subprocess
import time
from pathlib import Path

from rig import proc
from rig.java import CLONE
from rig.peer import Peer, Programs
from rig.postgres import SETTINGS
from rig.postgres import programs as postgres_programs


def describe(programs: Programs, peers: list[Peer]) -> dict[str, str]:
    """Names and values, in the order in which they are shown."""
    facts = {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "processor": f"{_cpu_name()}, {os.cpu_count()} cores",
        "memory": f"{_memory_gb():.0f} GB",
        "system": f"{_system()}, Linux {platform.release()}, {platform.machine()}",
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()) + " (1, 5, 15 minutes before)",
        "commit of the rig": _said("git", "-C", str(CLONE), "describe", "--always", "--dirty"),
        "Java": _line_with("Runtime", _said(programs.java.executable, "-version")),
        "Kafka": _kafka_version(programs),
        "PostgreSQL": _said(str(postgres_programs() / "postgres"), "--version")
        + ", "
        + ", ".join(f"{key}={value}" for key, value in SETTINGS.items()),
        "kcat": _line_with("Version", _said("kcat", "-V")),
    }
    for peer in peers:
        facts[peer.name] = _peer(programs, peer)
    return facts


def other_load(seconds: float = 2.0) -> float:
    """Cores that are busy while we do nothing."""
    before = proc.machine_busy_seconds()
    time.sleep(seconds)
    return (proc.machine_busy_seconds() - before) / seconds


def _peer(programs: Programs, peer: Peer) -> str:
    options = programs.options(peer)
    if peer.program == "java":
        return options
    binary = programs.binaries[peer.program]
    checksum = hashlib.sha256(binary.read_bytes()).hexdigest()[:12]
    version = _said(str(binary), "version").splitlines()[0]
    return f"{version}, {binary.stat().st_size / 1e6:.0f} MB, sha256 {checksum}…"


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def _memory_gb() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")


def _kafka_version(programs: Programs) -> str:
    jars = programs.java.jars("kafka-clients-*.jar")
    return jars[0].stem.removeprefix("kafka-clients-") if jars else "unknown"


def _line_with(word: str, text: str) -> str:
    return next((line for line in text.splitlines() if word in line), "unknown")


def _said(*command: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).strip() or "unknown"
