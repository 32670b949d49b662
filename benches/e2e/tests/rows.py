"""Rows as a run would give them."""

from rig.row import Row


def copied(scenario: str, peer: str, run: int, job: int, cpu_s: float, peak_mb: float = 100) -> Row:
    """A good job of a million records in two seconds."""
    row = Row(scenario, peer, run, job, records=1_000_000, bytes=100_000_000)
    row.wall_s, row.cpu_s, row.peak_mb = 2.0, cpu_s, peak_mb
    return row


def a_run() -> list[Row]:
    """Two rounds in which Java takes ten times as much and once more when cold; one failure."""
    rows = []
    for run, factor in ((1, 1.0), (2, 1.5)):
        for job, java in ((1, 8.0), (2, 4.0)):
            for scenario in ("file-source", "json-sink"):
                rows.append(copied(scenario, "java-tuned", run, job, java * factor, 1_000))
                rows.append(copied(scenario, "millrace-tuned", run, job, 0.4 * factor, 90))
        rows.append(copied("file-source", "kcat", run, 1, 0.2 * factor, 20))
        started = Row("start-up", "millrace-tuned", run, 1)
        started.wall_s, started.cpu_s, started.rss_mb, started.peak_mb = 0.1, 0.05, 30, 30
        rows.append(started)
    rows.append(Row("file-source", "millrace-tuned", 3, 1, ok=False, note="WRONG RESULT: <none>"))
    return rows
