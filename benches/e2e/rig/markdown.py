"""Decides what the report says as Markdown."""

from collections.abc import Sequence

from rig.report import Report
from rig.row import Row
from rig.scenarios.scenario import Scenario
from rig.summary import (
    BROKER,
    COPYING,
    OTHERS,
    Figure,
    Group,
    Metric,
    groups,
    metrics,
)


def render(report: Report) -> str:
    parts = [
        f"# {report.title}",
        "\n".join(f"- {remark}" for remark in report.remarks()),
        _table(
            ["intended", "measured", "least–most", ""], [claim[:4] for claim in report.claims()]
        ),
    ]
    for scenario in report.scenarios():
        parts += [f"## {scenario.title}", scenario.about, _figures(report.rows, scenario)]
        ratios = report.ratios(scenario.name)
        if ratios:
            parts.append("\n".join(f"- {line}" for line in ratios))
    failed = [row for row in report.rows if not row.ok]
    if failed:
        parts += ["## Failed", "\n".join(f"- {describe(row)}" for row in failed)]
    machine = [[name, value] for name, value in report.machine.items()]
    parts += ["## Machine", _table(["", ""], machine)]
    parts += ["## How it was measured", report.method]
    return "\n\n".join(parts) + "\n"


def describe(row: Row) -> str:
    first = row.note.splitlines()[0] if row.note else "no reason was kept"
    return f"{row.scenario}, {row.peer}, run {row.run}, job {row.job}: {first}"


def _figures(rows: list[Row], scenario: Scenario) -> str:
    shown = metrics(scenario.name)
    extra = (BROKER, OTHERS) if shown == COPYING else (OTHERS,)
    head = ["who", "", "rows"]
    for metric in shown:
        head += [f"{metric.label} ({metric.unit})", "least–most"]
    head += [metric.label for metric in extra]
    return _table(head, [_line(group, shown, extra) for group in groups(rows, scenario.name)])


def _line(group: Group, shown: Sequence[Metric], extra: Sequence[Metric]) -> list[str]:
    cells = [group.peer, group.phase, str(len(group.rows))]
    for metric in shown:
        found = group.figure(metric)
        cells += [f"**{number(found.median, metric.digits)}**", spread(found, metric.digits)]
    return cells + [number(group.figure(metric).median, metric.digits) for metric in extra]


def number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def spread(found: Figure, digits: int) -> str:
    return f"{number(found.low, digits)}–{number(found.high, digits)}"


def _table(head: list[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
