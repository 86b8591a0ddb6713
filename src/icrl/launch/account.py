"""What a launcher says while runs start and end, and what it remembers of those that failed."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from icrl.launch.runs import Run


class Failure(NamedTuple):
    """Something that was to be done and was not."""

    what: str
    why: str
    log: Path | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f", log {self.log}" if self.log else "")


class Account:
    """One line on stderr a start, an end and a failure, and how many of all runs are behind."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures: list[Failure] = []
        self._total, self._ended, self._clock = total, 0, clock
        self._since: dict[str, float] = {}

    def say(self, text: str) -> None:
        """One line on stderr."""
        print(text, file=sys.stderr, flush=True)

    def started(self, run: Run, how: str = "started") -> None:
        """A run is on its way."""
        self._since[run.name] = self._clock()
        self.say(f"{run.name}: {how}, log {run.log}")

    def ended(self, run: Run, why: str | None = None) -> None:
        """A run is behind, having failed if there is a reason `why`."""
        self._ended += 1
        minutes = (self._clock() - self._since.get(run.name, self._clock())) / 60
        behind = f"after {minutes:.1f} min ({self._ended} of {self._total})"
        if why is None:
            self.say(f"{run.name}: done {behind}")
            return
        self.failures.append(Failure(run.command, why, run.log))
        self.say(f"{run.name}: failed {behind}: {why}, log {run.log}")


def reason(exit_code: int) -> str | None:
    """Why a process with this exit code failed; None if it did not."""
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}" if exit_code else None
