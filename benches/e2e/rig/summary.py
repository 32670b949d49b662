"""Decides what the rows amount to: medians with least and most, ratios, and what was promised."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rig.peer import JAVA_TUNED, MILLRACE_TUNED, RAW
from rig.row import Row


@dataclass(frozen=True)
class Metric:
    """A figure of a row."""

    key: str
    label: str
    unit: str
    of: Callable[[Row], float]
    digits: int


CPU = Metric("cpu", "CPU-seconds a million records", "s", lambda r: r.cpu_s / r.records * 1e6, 2)
RATE = Metric("rate", "Records a second", "/s", lambda r: r.records / r.wall_s, 0)
PEAK = Metric("peak", "Peak memory (RSS)", "MB", lambda r: r.peak_mb, 0)
START = Metric("start", "Time to REST", "s", lambda r: r.wall_s, 2)
START_CPU = Metric("start-cpu", "CPU-seconds to REST", "s", lambda r: r.cpu_s, 2)
RESIDENT = Metric("rss", "Memory (RSS)", "MB", lambda r: r.rss_mb, 0)
IDLE_CPU = Metric("idle-cpu", "Processor, % of a core", "%", lambda r: r.cpu_s / r.wall_s * 100, 2)
BROKER = Metric("broker", "CPU-seconds of the broker", "s", lambda r: r.broker_cpu_s, 1)
OTHERS = Metric("others", "Other load, cores", "", lambda r: r.other_cores, 2)

COPYING = (CPU, RATE, PEAK)
METRICS = {"start-up": (START, START_CPU, PEAK), "idle": (RESIDENT, IDLE_CPU)}


def metrics(scenario: str) -> tuple[Metric, ...]:
    return METRICS.get(scenario, COPYING)


def phase(row: Row) -> str:
    """Which of a worker's jobs count together."""
    if row.scenario == "start-up" or row.peer in RAW:
        return ""
    if row.scenario == "idle":
        return "no connectors" if row.job == 1 else "10 connectors"
    return "cold" if row.job == 1 else "warm"


@dataclass(frozen=True)
class Figure:
    """Of several rows."""

    median: float
    low: float
    high: float
    count: int


def figure(values: Iterable[float]) -> Figure | None:
    found = sorted(values)
    if not found:
        return None
    return Figure(statistics.median(found), found[0], found[-1], len(found))


@dataclass(frozen=True)
class Group:
    """The good rows of one peer and phase in one scenario."""

    peer: str
    phase: str
    rows: tuple[Row, ...]

    def figure(self, metric: Metric) -> Figure:
        found = figure(metric.of(row) for row in self.rows)
        assert found is not None, "a group has rows"
        return found


def groups(rows: Iterable[Row], scenario: str) -> list[Group]:
    """By phase and peer, as the report shows them: raw clients last."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.scenario == scenario and row.ok:
            found.setdefault((phase(row), row.peer), []).append(row)
    programs = ("java", "before", "millrace", *RAW)

    def place(key: tuple[str, str]) -> tuple[int, str, int, str]:
        phase_name, peer = key
        program, _, variant = peer.partition("-")
        # "cold" before "warm" and "no connectors" before "10 connectors".
        late = phase_name in ("warm", "10 connectors")
        return (int(program in RAW) * 2 + late, variant, programs.index(program), peer)

    return [Group(key[1], key[0], tuple(found[key])) for key in sorted(found, key=place)]


def ratio(
    rows: Iterable[Row], scenario: str, metric: Metric, one: str, other: str
) -> Figure | None:
    """How much more `one` takes than `other` when both are warm, run by run."""
    by_run: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if row.scenario == scenario and row.ok and phase(row) in ("warm", "", "no connectors"):
            by_run.setdefault((row.peer, row.run), []).append(metric.of(row))
    ratios = []
    for (peer, run), values in by_run.items():
        divisor = statistics.median(by_run.get((other, run), [0.0]))
        if peer == one and divisor:
            ratios.append(statistics.median(values) / divisor)
    return figure(ratios)


@dataclass(frozen=True)
class Claim:
    """What Millrace intends to reach: at most `bound`, of itself or as a share of Java's figure."""

    text: str
    scenario: str
    metric: Metric
    bound: float
    is_share: bool

    def found(self, rows: list[Row]) -> Figure | None:
        """Millrace's figure, or its share of Java's; both tuned, warm, in the same run."""
        millrace, java = MILLRACE_TUNED.name, JAVA_TUNED.name
        if self.is_share:
            return ratio(rows, self.scenario, self.metric, millrace, java)
        mine = [r for r in rows if (r.scenario, r.peer, r.ok) == (self.scenario, millrace, True)]
        return figure(self.metric.of(row) for row in mine if phase(row) in ("", "no connectors"))


def _share(scenario: str, metric: Metric, part: int, text: str) -> Claim:
    return Claim(f"{text}: at most 1/{part} of Java's", scenario, metric, 1 / part, True)


CLAIMS = (
    _share("file-source", CPU, 10, "File source, CPU a record"),
    _share("file-sink", CPU, 10, "File sink, CPU a record"),
    _share("json-sink", CPU, 15, "JSON sink, CPU a record"),
    _share("jdbc-bulk", CPU, 10, "JDBC source, bulk, CPU a row"),
    _share("jdbc-incrementing", CPU, 10, "JDBC source, incrementing, CPU a row"),
    _share("jdbc-sink-insert", CPU, 10, "JDBC sink, insert, CPU a row"),
    _share("jdbc-sink-upsert", CPU, 10, "JDBC sink, upsert, CPU a row"),
    _share("file-source", PEAK, 15, "File source, peak memory"),
    _share("file-sink", PEAK, 15, "File sink, peak memory"),
    _share("json-sink", PEAK, 15, "JSON sink, peak memory"),
    Claim("Start-up: under 0.5 s", "start-up", START, 0.5, False),
    Claim("Idle without connectors: under 40 MB", "idle", RESIDENT, 40, False),
)


def verdict(claim: Claim, found: Figure | None) -> str:
    """Judged by the median; `barely` where the spread crosses the bound."""
    if found is None:
        return "not measured"
    if found.high <= claim.bound:
        return "holds"
    if found.median <= claim.bound:
        return "holds, barely"
    return "does not hold"
