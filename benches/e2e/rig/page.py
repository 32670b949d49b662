"""Decides what the report looks like as one HTML page that needs nothing else."""

from collections.abc import Sequence
from html import escape

from rig.markdown import describe, number, spread
from rig.report import Report
from rig.scenarios.scenario import Scenario
from rig.summary import Group, Metric, groups, metrics
from rig.svg import Bar, bars

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --faint: #6b7280; --line: #d8dce2;
  --paper: #fff; --java: #b8763a; --millrace: #2f6f9f; --before: #8a7fb5; --kcat: #8b9299; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --faint: #9aa2ab;
  --line: #3a4048; --paper: #16191d; --java: #d19352; --millrace: #5ba3d6; --before: #a99fd6;
  --kcat: #7b838b; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p { max-width: 60rem; } .faint { color: var(--faint); }
.plots { display: grid; gap: 1rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .title { font-weight: 600; font-size: 13px; }
svg .label { text-anchor: end; } svg .value { fill: var(--faint); }
svg .java { fill: var(--java); } svg .millrace { fill: var(--millrace); }
svg .before { fill: var(--before); } svg .kcat, svg .psql { fill: var(--kcat); }
svg .cold { opacity: .55; } svg .whisker { stroke: var(--ink); stroke-width: 1.2; fill: none; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; } th { color: var(--faint); font-weight: 500; }
details { margin: .5rem 0; } .loud { font-weight: 600; color: #c0392b; }
.holds { color: #2e8b57; } .fails { color: #c0392b; }
"""


def render(report: Report) -> str:
    body = [f"<h1>{escape(report.title)}</h1>", *map(_remark, report.remarks())]
    body += ["<h2>Intended and measured</h2>", _claims(report)]
    body += [_scenario(report, scenario) for scenario in report.scenarios()]
    failed = [row for row in report.rows if not row.ok]
    if failed:
        lines = "".join(f"<li>{escape(describe(row))}</li>" for row in failed)
        body.append(f"<h2>Failed</h2><ul>{lines}</ul>")
    machine = [[escape(name), escape(value)] for name, value in report.machine.items()]
    body += ["<h2>Machine</h2>", _table([], machine)]
    body += ["<h2>How it was measured</h2>", f"<p>{escape(report.method)}</p>"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(report.title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _remark(text: str) -> str:
    is_loud = any(word.isupper() and len(word) > 3 for word in text.replace(":", " ").split())
    return f'<p class="{"loud" if is_loud else "faint"}">{escape(text)}</p>'


def _claims(report: Report) -> str:
    lines = []
    for intended, measured, least_most, verdict in report.claims():
        look = "holds" if verdict.startswith("holds") else "fails"
        cells = [escape(intended), f"<b>{measured}</b>", least_most]
        lines.append([*cells, f'<span class="{look}">{escape(verdict)}</span>'])
    return _table(["intended", "measured", "least–most", ""], lines)


def _scenario(report: Report, scenario: Scenario) -> str:
    found = groups(report.rows, scenario.name)
    plots = [_plot(metric, found) for metric in metrics(scenario.name)]
    said = report.ratios(scenario.name)
    ratios = "".join(f"<li>{escape(line.replace('**', ''))}</li>" for line in said)
    return "\n".join(
        [
            f"<h2>{escape(scenario.title)}</h2>",
            f'<p class="faint">{escape(scenario.about)}</p>',
            f'<div class="plots">{"".join(plots)}</div>',
            f"<ul>{ratios}</ul>" if ratios else "",
            f"<details><summary>Figures</summary>{_figures(scenario, found)}</details>",
        ]
    )


def _plot(metric: Metric, found: Sequence[Group]) -> str:
    lines = []
    for group in found:
        measured = group.figure(metric)
        program = group.peer.partition("-")[0]
        kind = f"{program} cold" if group.phase == "cold" else program
        text = f"{number(measured.median, metric.digits)} {metric.unit}"
        label = f"{group.peer.replace('-', ' ')} {group.phase}".strip()
        lines.append(Bar(label, kind, measured.median, measured.low, measured.high, text))
    return bars(metric.label, lines)


def _figures(scenario: Scenario, found: Sequence[Group]) -> str:
    shown = metrics(scenario.name)
    head = ["who", "", "rows"]
    for metric in shown:
        head += [f"{metric.label} ({metric.unit})", "least–most"]
    lines = []
    for group in found:
        cells = [group.peer, group.phase, str(len(group.rows))]
        for metric in shown:
            measured = group.figure(metric)
            cells += [number(measured.median, metric.digits), spread(measured, metric.digits)]
        lines.append(cells)
    return _table(head, lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Of cells that are HTML already."""
    top = "<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>" if head else ""
    rows = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in line) + "</tr>" for line in lines)
    return f"<table>{top}{rows}</table>"
