"""Decides what a run is asked for."""

import argparse
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

from clients.peer import PEERS, Case, Programs
from clients.report import render
from clients.runner import Runner, scratch
from rig.broker import Broker
from rig.java import CLONE, Java
from rig.process import Failure, stop_all

_WORK = Path.home() / ".cache/millrace/bench"
_EXAMPLES = """examples:
  run --quick                                   everything once and small, to see that it works
  run --job consume --compression none,lz4      part of it
  run --client native,raw --rounds 9            two clients, more often
  run --save 2026-11-kafka                      measure, and copy the report to benches/results/"""


def main() -> int:
    options = _parse()
    folder = _WORK / "kafka-runs" / time.strftime("%Y-%m-%d-%H%M%S")
    (folder / "logs").mkdir(parents=True)
    try:
        rows = _measure(options, folder)
    except (Failure, KeyboardInterrupt) as failure:
        print(failure or "interrupted")
        return 1
    finally:
        stop_all()
    print(f"report: {folder / 'report.md'}")
    if options.save:
        target = CLONE / "benches/results" / options.save
        target.mkdir(parents=True, exist_ok=True)
        for name in ("report.md", "rows.jsonl"):
            shutil.copy(folder / name, target / name)
        print(f"saved to {target}")
    return 0 if all(row.ok for row in rows) else 1


def _measure(options: argparse.Namespace, folder: Path) -> list:
    client = _build()
    java = Java(_WORK / "java")
    java.fetch(set())
    work = scratch(_WORK / "kafka-scratch")
    broker = Broker(java, work)
    programs = Programs(client, java, broker.address, work)
    machine = _machine(java)
    runner = Runner(programs, broker, folder)
    for size in options.value_bytes:
        records = options.records if size <= 200 else max(options.records // 5, 1000)
        for compression in options.compression:
            for job in options.job:
                case = Case(job, size, compression)
                runner.measure(case, options.client, records // 1000 * 1000, options.rounds)
                (folder / "report.md").write_text(render(runner.rows, machine))
    broker.stop()
    shutil.rmtree(work, ignore_errors=True)
    return runner.rows


def _build() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/millrace/target"))
    build = ["cargo", "build", "--locked", "--release", "-p", "millrace-benches", "--bins"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    print("building the client", flush=True)
    if subprocess.run(build, cwd=CLONE, env=environment, check=False).returncode != 0:
        raise Failure("the client does not build")
    return target / "release/kafka_client"


def _machine(java: Java) -> dict[str, str]:
    names = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1] for line in names if line.startswith("model name")), "?")
    commit = ["git", "-C", str(CLONE), "describe", "--always", "--dirty"]
    kafka = java.jars("kafka-clients-*.jar")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "processor": f"{cpu.strip()}, {os.cpu_count()} cores",
        "system": f"Linux {platform.release()}, {platform.machine()}",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "commit": subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip(),
        "Kafka": kafka[0].stem.removeprefix("kafka-clients-") if kafka else "?",
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benches/kafka/run",
        description="Measures Kafka clients beside each other on one broker of its own.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = ["none", "lz4", "zstd", "snappy", "gzip"]
    parser.add_argument("--job", type=_list(["consume", "produce"]), default=["consume", "produce"])
    parser.add_argument("--client", type=_list(list(PEERS)), default=None, help=", ".join(PEERS))
    parser.add_argument("--compression", type=_list(kinds), default=["none", "lz4", "zstd"])
    parser.add_argument("--value-bytes", type=_numbers, default=[100, 1000], metavar="N,…")
    parser.add_argument("--records", type=int, default=5_000_000, help="of up to 200 bytes; a fifth of longer ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="200,000 records, one round")
    parser.add_argument("--save", metavar="NAME", help="copy the report to benches/results/NAME")
    options = parser.parse_args()
    if options.quick:
        options.records, options.rounds = 200_000, 1
    if options.client is None:
        options.client = [name for name in PEERS if name != "kcat" or shutil.which("kcat")]
    return options


def _list(known: list[str]):
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        unknown = [one for one in chosen if one not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
        return chosen

    return parse


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


if __name__ == "__main__":
    raise SystemExit(main())
