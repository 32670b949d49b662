"""Decides the order of a run: by scenario, then in rounds, each with another peer first."""

import time
from dataclasses import dataclass

from rig.java import Java
from rig.peer import JAVA_TUNED, Peer
from rig.process import Failure
from rig.row import Row, Rows
from rig.scenarios.scenario import Scenario
from rig.site import Site
from rig.summary import metrics, phase


@dataclass(frozen=True)
class Part:
    """One worker's share of a run, or the raw clients'."""

    scenario: Scenario
    run: int
    peer: Peer | None  # None: the raw clients

    @property
    def who(self) -> str:
        return self.peer.name if self.peer else self.scenario.floor_peer


def parts(
    scenarios: list[Scenario], peers: list[Peer], runs: int, java: Java | None = None
) -> list[Part]:
    """All of them, in order. Where Java lacks a plugin, Millrace stands alone."""
    found = []
    for scenario in scenarios:
        programs = set(scenario.programs)
        if java and java.lacks(scenario.plugins):
            print(f"  {scenario.name} has no peer in Java: see --java-jdbc", flush=True)
            programs.discard("java")
        mine: list[Peer | None] = [peer for peer in peers if peer.program in programs]
        if scenario.has_floor:
            mine.append(None)
        for run in range(1, min(runs, scenario.most_runs) + 1):
            first = (run - 1) % len(mine) if mine else 0
            turn = mine[first:] + mine[:first]
            found += [Part(scenario, run, peer) for peer in turn]
    return found


class Runner:
    """Carries the parts out and keeps their rows."""

    def __init__(self, site: Site, rows: Rows) -> None:
        self._site = site
        self._rows = rows
        self._begin = time.monotonic()

    def run(self, todo: list[Part]) -> None:
        """What is done already is left; what failed is tried again."""
        for scenario in dict.fromkeys(part.scenario for part in todo):
            mine = [part for part in todo if part.scenario is scenario]
            undone = [p for p in mine if not self._rows.has(scenario.name, p.who, p.run)]
            trouble = self._site.programs.java.trouble(scenario.plugins)
            if trouble:
                self._fail(mine[0], trouble)
            elif undone:
                self._run_scenario(scenario, undone, todo)

    def _run_scenario(self, scenario: Scenario, undone: list[Part], todo: list[Part]) -> None:
        print(f"== {scenario.title}: preparing", flush=True)
        try:
            scenario.prepare(self._site)
        except Failure as failure:
            self._fail(undone[0], str(failure))
            return
        for part in undone:
            self._carry_out(part, f"{todo.index(part) + 1}/{len(todo)}")
        scenario.finish(self._site)

    def _fail(self, part: Part, why: str) -> None:
        """A scenario that cannot be measured stands among the failures; the others go on."""
        print(f"== {part.scenario.title} is left out: {why}", flush=True)
        name = part.scenario.name
        self._rows.replace([Row(name, part.who, part.run, 1, ok=False, note=why)])

    def _carry_out(self, part: Part, place: str) -> None:
        scenario, run = part.scenario, part.run
        try:
            if part.peer:
                rows = scenario.measure(self._site, part.peer, run)
            else:
                rows = scenario.measure_floor(self._site, run)
        except Failure as failure:
            rows = [Row(scenario.name, part.who, run, 1, ok=False, note=str(failure))]
        self._rows.replace(rows)
        minutes, seconds = divmod(int(time.monotonic() - self._begin), 60)
        what = f"{minutes:3d}:{seconds:02d} {place:>7} {scenario.name} run {run} {part.who:17}"
        for row in rows:
            print(f"{what} {_said(row)}", flush=True)
            what = " " * len(what)


def _said(row: Row) -> str:
    if not row.ok:
        return f"FAILED: {row.note}"
    shown = (f"{m.of(row):,.{m.digits}f} {m.unit} {m.key}" for m in metrics(row.scenario))
    return f"{phase(row):5} " + ", ".join(shown)


def peers_named(names: str, known: tuple[Peer, ...]) -> list[Peer]:
    """Of a list with commas; a program's name stands for all of its variants."""
    found = []
    for name in names.split(","):
        mine = [peer for peer in known if name in (peer.name, peer.program)]
        if not mine:
            all_names = ", ".join(peer.name for peer in known)
            raise Failure(f"no peer {name!r}: there are {all_names}")
        found += mine
    if JAVA_TUNED not in found:
        print(f"  without {JAVA_TUNED.name} there are no ratios", flush=True)
    return list(dict.fromkeys(found))
