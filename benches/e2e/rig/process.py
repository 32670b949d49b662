"""Decides how programs are started and ended: none of them outlives the rig."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from rig import proc

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_living: list["Process"] = []


class Failure(Exception):
    """Something that the run cannot go on without, in words for its reader."""


def _die_with_the_rig() -> None:
    """Runs in the child: even a `kill -9` of the rig leaves nothing behind."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A running program, its output in a log."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        user: str | None = None,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | int | None = None,
        stop_with: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = Path(command[0]).name
        self.log = log
        self._stop_with = stop_with
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                command,
                stdin=stdin or subprocess.DEVNULL,
                stdout=output if stdout is None else stdout,
                stderr=output,
                cwd=log.parent,
                # Dates print in the machine's zone in Java, in UTC in Millrace.
                env={**os.environ, "TZ": "UTC"},
                # Ctrl-C goes to the rig, which ends its children in order.
                start_new_session=True,
                preexec_fn=_die_with_the_rig,
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )
        _living.append(self)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def output(self) -> IO[bytes]:
        """What it writes, when started with `stdout=subprocess.PIPE`."""
        assert self._child.stdout is not None, "the output goes to the log"
        return self._child.stdout

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.poll()

    def usage(self) -> tuple[int, float] | None:
        """Exit code and processor seconds; None while it runs."""
        if self._child.returncode is not None:
            raise AssertionError("the kernel tells once")
        pid, status, used = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        self._child.returncode = os.waitstatus_to_exitcode(status)
        _living.remove(self)
        return self._child.returncode, used.ru_utime + used.ru_stime

    def wait_usage(self, seconds: float) -> tuple[int, resource.struct_rusage]:
        """Exit code, and what the kernel has counted, once it has ended."""
        deadline = time.monotonic() + seconds
        while True:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                self.stop()
                raise Failure(f"{self.name} took more than {seconds:g} s, see {self.log}")
            time.sleep(0.005)
        self._child.returncode = os.waitstatus_to_exitcode(status)
        _living.remove(self)
        return self._child.returncode, used

    def cpu_seconds(self) -> float:
        return proc.cpu_seconds(self.pid)

    def tail(self, lines: int = 25) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def wait(self, seconds: float) -> int:
        """Its exit code; a failure when it takes longer."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise Failure(f"{self.name} took more than {seconds:g} s, see {self.log}") from None
        if self in _living:
            _living.remove(self)
        return code

    def stop(self, seconds: float = 30) -> None:
        """Ends it as an operator does; kills it when it overstays."""
        if self._child.poll() is None:
            self._child.send_signal(self._stop_with)
            try:
                self._child.wait(seconds)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        if self in _living:
            _living.remove(self)


def stop_all() -> None:
    """Ends what still runs, the last started first."""
    while _living:
        _living[-1].stop(seconds=10)


def run(command: Sequence[str], log: Path, *, seconds: float = 600, user: str | None = None) -> str:
    """Runs a program to its end and gives back its output; a failure shows the log's end."""
    process = Process(command, log, user=user)
    if process.wait(seconds) != 0:
        raise Failure(f"{' '.join(command)}\n{process.tail()}")
    return log.read_text(encoding="utf-8", errors="replace")


def wait_until(
    what: str, seconds: float, condition: Callable[[], bool], pause: float = 0.05
) -> None:
    """Asks again and again; a failure after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds:g} s")
        time.sleep(pause)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
