"""Decides what the report says: medians, and ratios to librdkafka's best and to Java in the same run."""

from statistics import median

from clients.peer import CONSUMER, PEERS, PRODUCER
from clients.runner import Row

_METHOD = """\
One broker, one machine, in turns; each turn is a fresh process, and its whole time counts: start, work, end (a JVM's
start as well). CPU is user and system time as the kernel counts it for the process; memory is its highest resident
size. Topics have 4 partitions. Values are texts of words and numbers, the same for all. Everybody compares checksums.
What is consumed was written once, by one client; what was produced is counted by the broker. Figures are medians with
least and most; CPU-seconds a million records is the one to trust, as broker and client share the machine."""


def render(rows: list[Row], machine: dict[str, str], base: str = "raw") -> str:
    parts = ["# Kafka clients beside each other", _summary(rows, base)]
    for case in dict.fromkeys(row.case for row in rows):
        parts += [f"## {case}", _table(rows, case, base)]
    failed = [row for row in rows if not row.ok]
    if failed:
        lines = [f"- {row.case}, {row.peer}, round {row.round + 1}: {row.note}" for row in failed]
        parts += ["## Failed", "\n".join(lines)]
    clients = "\n".join(f"| `{name}` | {what} |" for name, what in PEERS.items())
    settings = f"Producers: {_settings(PRODUCER)}. Consumers: {_settings(CONSUMER)}."
    parts += ["## Clients", "| client | what |\n|---|---|\n" + clients, settings]
    facts = "\n".join(f"| {name} | {value} |" for name, value in machine.items())
    parts += ["## Machine", "| | |\n|---|---|\n" + facts, "## How it was measured", _METHOD]
    return "\n\n".join(parts) + "\n"


def _summary(rows: list[Row], base: str) -> str:
    lines = []
    for case in dict.fromkeys(row.case for row in rows):
        ours = _cpu(rows, case, "native")
        for other in (base, "java"):
            theirs = _cpu(rows, case, other)
            if ours and theirs:
                lines.append(
                    f"- {case}: native takes {ours / theirs:.2f} of {other}'s processor time "
                    f"({ours:.3f} against {theirs:.3f} CPU-seconds a million records)"
                )
    return "\n".join(lines) or "Nothing to compare."


def _table(rows: list[Row], case: str, base: str) -> str:
    head = (
        f"| client | CPU-s a million | user | system | of `{base}` | CPU-s a GB | MB/s | peak MB |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    reference, lines = _cpu(rows, case, base), [head]
    for peer in PEERS:
        turns = [row for row in rows if (row.case, row.peer, row.ok) == (case, peer, True)]
        if not turns:
            continue
        cpu = [row.cpu_us_per_record for row in turns]
        user = median(row.user_s / row.records * 1e6 for row in turns)
        system = median(row.system_s / row.records * 1e6 for row in turns)
        ratio = f"{median(cpu) / reference:.2f}" if reference else "–"
        lines.append(
            f"| {peer} | **{median(cpu):.3f}** ({min(cpu):.3f}–{max(cpu):.3f}) | {user:.3f} | {system:.3f} "
            f"| {ratio} | {median(cpu) / turns[0].value_bytes * 1e3:.2f} "
            f"| {median(row.mb_per_s for row in turns):.0f} | {median(row.peak_mb for row in turns):.0f} |"
        )
    return "\n".join(lines)


def _cpu(rows: list[Row], case: str, peer: str) -> float | None:
    of = [row.cpu_us_per_record for row in rows if (row.case, row.peer, row.ok) == (case, peer, True)]
    return median(of) if of else None


def _settings(properties: dict[str, str]) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in properties.items())
