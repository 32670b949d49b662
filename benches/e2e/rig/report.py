"""Decides what a report contains, whatever it is written in."""

import statistics
from dataclasses import dataclass

from rig.peer import JAVA_DEFAULT, JAVA_TUNED, RAW
from rig.row import Row
from rig.scenarios import SCENARIOS
from rig.scenarios.scenario import Scenario
from rig.summary import CLAIMS, COPYING, RATE, Metric, groups, metrics, ratio, verdict

_BUSY = 0.25

METHOD = """\
One Kafka broker for the whole run. The peers take turns, each round beginning with another one, \
so that drift of the machine meets all of them. Each turn of a copy is a fresh worker process \
that does the same job several times: the first is cold, the others are warm. Before a job the \
disk is synchronised and the servers come to rest. A job lasts from the request that makes the \
connector until the last record is seen at its target. CPU is user and system time of the worker \
and its children; memory is the kernel's high-water mark during the job. After each job the \
result is read back: the number of records and the sum of their checksums must be those of the \
data, else the row has failed and does not count. "Default" is the shipped configuration. "Tuned" \
has the same client settings for both: batch.size=524288, linger.ms=20, buffer.memory=64 MB, \
max.request.size=4 MB for producers; max.poll.records=5000, max.partition.fetch.bytes=4 MB, \
fetch.min.bytes=64 KB, receive.buffer.bytes=1 MB for consumers; and for Java ParallelGC and a \
fixed heap. acks=all, one request in flight and no compression everywhere. Figures are medians \
with the least and the most; a ratio is taken within each run. Other load counts cores that were \
busy with anything that is not worker, broker or database; the rig itself is among it."""


@dataclass(frozen=True)
class Report:
    """The rows of a run and what is known of where they come from."""

    rows: list[Row]
    machine: dict[str, str]
    plan: dict[str, str]

    @property
    def title(self) -> str:
        return f"Millrace beside Java Connect, {self.machine.get('date', '')[:10]}"

    @property
    def method(self) -> str:
        return METHOD

    def scenarios(self) -> list[Scenario]:
        """Those with a good row."""
        return [scenario for scenario in SCENARIOS if groups(self.rows, scenario.name)]

    def remarks(self) -> list[str]:
        """What a reader must know before any figure."""
        said = [", ".join(f"{name}: {value}" for name, value in self.plan.items())]
        if self.plan.get("quick") == "True":
            said.append("A QUICK RUN: it shows that the rig works; its figures mean nothing.")
        failed = sum(not row.ok for row in self.rows)
        if failed:
            said.append(f"{failed} of {len(self.rows)} rows FAILED and do not count; see the end.")
        others = [row.other_cores for row in self.rows if row.ok]
        if others and statistics.median(others) > _BUSY:
            said.append(
                f"THE MACHINE WAS BUSY: {statistics.median(others):.2f} cores with other things "
                "(median). Rates and times are worth little; CPU-seconds are less disturbed."
            )
        return said

    def claims(self) -> list[list[str]]:
        """Intended, measured, spread, verdict."""
        lines = []
        for claim in CLAIMS:
            found = claim.found(self.rows)
            form = _as_share if claim.is_share else _as_value
            measured = (
                [form(found.median), f"{form(found.low)}–{form(found.high)}"]
                if found
                else ["–"] * 2
            )
            lines.append([claim.text, *measured, verdict(claim, found)])
        return lines

    def ratios(self, scenario: str) -> list[str]:
        """Each peer against tuned Java, in words."""
        lines = []
        peers = {group.peer: None for group in groups(self.rows, scenario)}
        for peer in peers:
            if peer in (JAVA_TUNED.name, JAVA_DEFAULT.name):
                continue
            line = [self._times(scenario, metric, peer) for metric in _compared(scenario)]
            said = "; ".join(part for part in line if part)
            if said:
                name = "raw clients" if peer in RAW else peer
                both = ", both warm" if metrics(scenario) == COPYING else ""
                lines.append(f"{JAVA_TUNED.name} ÷ {name}{both}: {said}")
        return lines

    def _times(self, scenario: str, metric: Metric, peer: str) -> str:
        found = ratio(self.rows, scenario, metric, JAVA_TUNED.name, peer)
        if not found:
            return ""
        return f"{metric.label} **{found.median:.1f}×** ({found.low:.1f}–{found.high:.1f})"


def _compared(scenario: str) -> list[Metric]:
    """Where less is better, so that a ratio reads as "Java takes so many times as much"."""
    return [metric for metric in metrics(scenario) if metric is not RATE]


def _as_share(value: float) -> str:
    return f"1/{1 / value:.1f}" if value else "0"


def _as_value(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
