"""The workers of a sweep on this machine: processes that share its threads. One that dies is replaced."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from nlmcli.errors import InputError

POLL_SECONDS = 0.5
MOST_FAILURES = 3  # of workers that ended by themselves with an error, one after another


class Jobs:
    """Processes that run the same command until it succeeds.

    Each is in a session of its own, so that Ctrl-C in a terminal reaches only this process, which passes it on once.
    """

    def __init__(self, command: list[str], number: int, log: Path):
        """log: the file that gets what the workers print, such as the traceback of one that failed"""
        self.command, self.log, self.stopping, self.failures = command, log, False, 0
        self.processes = [self.start() for _ in range(number)]

    def start(self) -> subprocess.Popen[bytes]:
        with open(self.log, "ab") as log:
            return subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def stop(self) -> None:
        """Let every worker end after its current step; the second time, at once."""
        number = signal.SIGKILL if self.stopping and hasattr(signal, "SIGKILL") else signal.SIGTERM
        self.stopping = True
        for each in self.processes:
            if each.poll() is None:
                each.send_signal(number)

    def wait(self) -> Iterator[None]:
        """Until all have ended; yields twice a second.  Raises InputError if workers fail again and again."""
        while self.processes:
            yield
            time.sleep(POLL_SECONDS)
            for k, each in enumerate(self.processes):
                code = each.poll()
                if code is not None and code != 0 and not self.stopping:
                    self.check_failures(code)
                    self.processes[k] = self.start()
                elif code == 0:
                    self.failures = 0
            self.processes = [each for each in self.processes if each.poll() is None]

    def check_failures(self, code: int) -> None:
        """Raises InputError for a worker that fails again and again; that it is killed is none of its fault."""
        self.failures = self.failures + 1 if code > 0 else 0
        if self.failures < MOST_FAILURES:
            return
        self.stop()
        text = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise InputError(f"the workers fail; the last one said: {text[-1].removeprefix('nlm: ') if text else f'exit code {code}'}")


def worker_command(arguments: list[str]) -> list[str]:
    """The command line of a worker."""
    return [sys.executable, "-m", "nlmcli", "sweep", *arguments, "--worker", "--quiet"]
