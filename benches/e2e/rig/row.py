"""Decides what is kept of a measurement: one row of raw data, a line of JSON."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path


@dataclass
class Row:
    """One job, start or idle spell of one peer. Times in seconds, memory in MiB."""

    scenario: str
    peer: str
    run: int
    job: int  # the first one of a worker meets a cold JVM
    ok: bool = True
    note: str = ""  # why not ok, or what was checked
    records: int = 0
    bytes: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0  # of the worker and its children
    first_s: float = 0.0  # until the first record was seen at its target
    peak_mb: float = 0.0
    rss_mb: float = 0.0
    broker_cpu_s: float = 0.0
    database_cpu_s: float = 0.0
    other_cores: float = 0.0  # busy with something that is not part of the measurement
    time: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S"))

    def to_json(self) -> str:
        values = {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }
        return json.dumps(values)

    @staticmethod
    def from_json(line: str) -> "Row":
        values = json.loads(line)
        return Row(**{key.name: values[key.name] for key in fields(Row) if key.name in values})


class Rows:
    """The rows of a run, in a file that grows by one worker's rows at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Row]:
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                yield Row.from_json(line)

    def has(self, scenario: str, peer: str, run: int) -> bool:
        """Whether this part of the run is done: all of its jobs, all right."""
        rows = [r for r in self if (r.scenario, r.peer, r.run) == (scenario, peer, run)]
        return bool(rows) and all(row.ok for row in rows)

    def replace(self, rows: list[Row]) -> None:
        """Adds the rows of one part; what an earlier attempt at it left goes."""
        part = {(row.scenario, row.peer, row.run) for row in rows}
        kept = [row for row in self if (row.scenario, row.peer, row.run) not in part]
        text = "".join(row.to_json() + "\n" for row in [*kept, *rows])
        fresh = self._path.with_suffix(".part")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._path)
