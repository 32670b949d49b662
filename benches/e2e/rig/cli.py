"""Decides what the command line means."""

import argparse
import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path
from types import FrameType

from rig import machine, markdown, page
from rig.java import CLONE, Java
from rig.peer import BEFORE, PEERS, Peer, Programs
from rig.process import Failure, stop_all
from rig.report import Report
from rig.row import Rows
from rig.runner import Runner, parts, peers_named
from rig.scenarios import SCENARIOS
from rig.scenarios.scenario import Scenario
from rig.site import Site, Sizes

_ABOUT = "Measures Millrace beside Java Connect: one broker, the same data and settings, in turns."
_EXAMPLES = """\
examples:
  run                                    all scenarios, five runs: about an hour on two cores
  run --quick                            everything once and small, to see that it works
  run --scenario file-source --peer java-tuned,millrace
  run --scenario json-sink --records 10000000 --runs 3 --jobs 4
  run --peer before,millrace --before OLD/millrace    two builds of Millrace in one run
  run --resume                           go on with the newest run where it was interrupted
  run --report                           write the newest run's report anew
  run --save 2026-11-e2e                 copy the newest run into benches/results/

scenarios:
"""
_WORK = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "millrace/bench"
_TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/millrace/target"))
_NEWEST = "newest"
# The data in their forms, a topic of values, a copy in a topic or file, and what is being deleted.
_BYTES_A_RECORD = 800
# A table and its index, and two topics with schemas: one may still be on its way out.
_BYTES_A_ROW = 1_700
_PATHS = ("millrace", "before", "java-jdbc")


def main() -> int:
    """The exit code: 0, 1 for a run with failed rows, 2 for what kept it from running."""
    arguments = _parser().parse_args()
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    try:
        return _act(arguments)
    except Failure as failure:
        print(f"run: {failure}")
        return 2
    except KeyboardInterrupt:
        print("\nrun: interrupted; what was measured is kept: `run --resume` goes on", flush=True)
        return 130
    finally:
        # A second Ctrl-C must not leave half of them behind.
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, signal.SIG_IGN)
        stop_all()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    scenarios = "\n".join(f"  {scenario.name:16} {scenario.title}" for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(
        prog="run",
        description=_ABOUT,
        epilog=_EXAMPLES + scenarios,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--scenario", metavar="A,B", help="only these (default: all)")
    add("--peer", metavar="A,B", help="only these: " + ", ".join(peer.name for peer in PEERS))
    add("--runs", type=int, default=5, metavar="N", help="turns of each peer (default: 5)")
    add(
        "--jobs",
        type=int,
        default=2,
        metavar="N",
        help="jobs a worker, the first cold (default: 2)",
    )
    add(
        "--records",
        type=int,
        default=5_000_000,
        metavar="N",
        help="lines a job; a fifth as many orders, a 25th as many inserts (default: 5000000)",
    )
    add("--rows", type=int, metavar="N", help="rows of JDBC sources (default: a fifth of --records)")
    add(
        "--java-jdbc",
        type=Path,
        metavar="FOLDER",
        help="jars of Aiven's JDBC connector and the drivers, which Maven Central does not have",
    )
    add("--quick", action="store_true", help="one run with few records; its figures mean nothing")
    add("--profile", action="store_true", help="perf tables of Millrace's jobs, in the run's logs/")
    binary = _TARGET / "release/millrace"
    add("--millrace", type=Path, default=binary, metavar="FILE", help=f"default: {binary}")
    add("--before", type=Path, metavar="FILE", help="another Millrace binary, as the peer `before`")
    add("--work", type=Path, default=_WORK, metavar="FOLDER", help=f"default: {_WORK}")
    runs = {"nargs": "?", "const": _NEWEST, "metavar": "RUN"}
    add("--resume", help="go on with this run (default: the newest), as it was begun", **runs)  # type: ignore[arg-type]
    add("--report", help="write this run's report anew", **runs)  # type: ignore[arg-type]
    add("--save", metavar="NAME", help="copy the newest run, without logs, to benches/results/NAME")
    return parser


def _act(arguments: argparse.Namespace) -> int:
    work: Path = arguments.work.resolve()
    if arguments.save:
        return _save(_run_folder(work, _NEWEST), arguments.save)
    if arguments.report:
        return _write_report(_run_folder(work, arguments.report))
    if arguments.resume:
        folder = _run_folder(work, arguments.resume)
        plan = json.loads((folder / "plan.json").read_text())
    else:
        folder = work / "runs" / time.strftime("%Y%m%d-%H%M%S")
        plan = _plan(arguments)
    return _measure(work, folder, plan)


def _plan(arguments: argparse.Namespace) -> dict[str, str]:
    quick = arguments.quick
    plan = {
        "scenarios": arguments.scenario or ",".join(scenario.name for scenario in SCENARIOS),
        "peers": arguments.peer or ",".join(peer.name for peer in PEERS),
        "runs": "1" if quick else str(arguments.runs),
        "jobs": str(arguments.jobs),
        "records": "200000" if quick else str(arguments.records),
        "rows": str(40000 if quick else arguments.rows or arguments.records // 5),
        "quick": str(quick),
        "profiled": str(arguments.profile),
        "millrace": str(arguments.millrace.resolve()),
    }
    if arguments.java_jdbc:
        plan["java-jdbc"] = str(arguments.java_jdbc.resolve())
    if arguments.before:
        plan["before"] = str(arguments.before.resolve())
    return plan


def _measure(work: Path, folder: Path, plan: dict[str, str]) -> int:
    scenarios = _scenarios_named(plan["scenarios"])
    binaries: dict[str, Path] = {
        name: Path(plan[name]) for name in ("millrace", "before") if name in plan
    }
    known = PEERS + (BEFORE if "before" in binaries else ())
    peers = peers_named(plan["peers"], known)
    _check(peers, binaries)
    print(f"run: {folder}", flush=True)
    _reserve(work, int(plan["records"]), int(plan["rows"]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan, indent=1))
    java = Java(work / "java", Path(plan["java-jdbc"]) if "java-jdbc" in plan else None)
    java.fetch({plugin for scenario in scenarios for plugin in scenario.plugins})
    programs = Programs(java, binaries)
    facts = folder / "machine.json"
    if not facts.exists():
        facts.write_text(json.dumps(machine.describe(programs, peers), indent=1))
    others = machine.other_load()
    if others > 0.2:
        print(f"  the machine is busy with other things ({others:.1f} cores): figures will suffer")
    site = Site(work, folder, programs, _sizes(plan))
    try:
        rows = Rows(folder / "rows.jsonl")
        Runner(site, rows).run(parts(scenarios, peers, int(plan["runs"]), java))
    finally:
        site.close()
        _write_report(folder)
    return 0 if all(row.ok for row in rows) else 1


def _sizes(plan: dict[str, str]) -> Sizes:
    settle, watch = (3.0, 3.0) if plan["quick"] == "True" else (30.0, 10.0)
    profile = plan["profiled"] == "True"
    return Sizes(
        int(plan["records"]), int(plan["jobs"]), settle, watch, int(plan["rows"]), profile
    )


def _scenarios_named(names: str) -> list[Scenario]:
    known = {scenario.name: scenario for scenario in SCENARIOS}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise Failure(f"no scenario {', '.join(unknown)}: there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def _check(peers: list[Peer], binaries: dict[str, Path]) -> None:
    if not shutil.which("kcat"):
        raise Failure("kcat is needed: `integration/setup.sh bench` installs it")
    for peer in peers:
        binary = binaries.get(peer.program)
        if binary and not os.access(binary, os.X_OK):
            raise Failure(f"{binary} is missing: `make build` builds it")


def _reserve(work: Path, records: int, rows: int) -> None:
    """One run at a time in a work directory, and room for its largest scenario."""
    work.mkdir(parents=True, exist_ok=True)
    lock = os.open(work / "lock", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failure(f"another run works in {work}: choose another --work") from None
    needed = 1e9 + max(records * _BYTES_A_RECORD, rows * _BYTES_A_ROW)
    free = shutil.disk_usage(work).free
    if free < needed:
        raise Failure(f"{work}: {free / 1e9:.1f} GB are free, {needed / 1e9:.1f} GB needed")


def _run_folder(work: Path, name: str) -> Path:
    known = sorted((work / "runs").glob("*/plan.json"))
    if name != _NEWEST:
        known = [plan for plan in known if plan.parent.name == Path(name).name]
    if not known:
        raise Failure(f"no run {name} in {work / 'runs'}")
    return known[-1].parent


def _write_report(folder: Path) -> int:
    rows = list(Rows(folder / "rows.jsonl"))
    plan = json.loads((folder / "plan.json").read_text())
    shown = {key: value for key, value in plan.items() if key not in _PATHS}
    report = Report(rows, json.loads((folder / "machine.json").read_text()), shown)
    (folder / "report.md").write_text(markdown.render(report), encoding="utf-8")
    (folder / "report.html").write_text(page.render(report), encoding="utf-8")
    print(f"report: {folder / 'report.md'}, {folder / 'report.html'}", flush=True)
    return 0


def _save(folder: Path, name: str) -> int:
    target = CLONE / "benches/results" / name
    target.mkdir(parents=True, exist_ok=True)
    for file in ("rows.jsonl", "machine.json", "report.md", "report.html"):
        shutil.copy(folder / file, target / file)
    print(f"saved: {target}")
    return 0
