"""Decides how a worker is profiled during a job, where `--profile` asks for it: with perf(1)."""

import signal
import subprocess
from pathlib import Path

from rig.process import Process

_EACH_SECOND = 499
_LEAST_PERCENT = 0.4


class Profile:
    """Samples of a running process, and the functions they were in."""

    def __init__(self, pid: int, file: Path) -> None:
        self._data = file.with_suffix(".perf.data")
        self._text = file.with_suffix(".perf.txt")
        # The stacks' ends alone: the binary keeps no frame pointers, and its own time is asked for.
        options = ["record", "-q", "-F", str(_EACH_SECOND), "-p", str(pid), "-o", str(self._data)]
        log = file.with_suffix(".perf.log")
        self._recorder = Process(["perf", *options], log, stop_with=signal.SIGINT)

    def stop(self) -> Path:
        """Ends it and writes the table of functions."""
        self._recorder.stop()
        options = ["--stdio", "--percent-limit", str(_LEAST_PERCENT), "--sort", "dso,symbol"]
        table = subprocess.run(
            ["perf", "report", "-i", str(self._data), *options],
            capture_output=True,
            text=True,
            check=False,
        )
        self._text.write_text(table.stdout or table.stderr)
        self._data.unlink(missing_ok=True)
        return self._text
