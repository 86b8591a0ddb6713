"""What a job of a cluster's queue does. Each job imports this, so it is light."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from icrl.launch.process import POLL_SECONDS, start, stop

WARNING_SECONDS, PATIENCE_SECONDS = 180, 120
"""The queue's warning comes so long before it kills; so long a run may then take to write its checkpoint."""

INTERRUPTED = 130
SECONDS_UNTIL_KILLED = 600


class Training:
    """What a job does: one run, in a process of its own, which the queue's warning saves and queues again."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
        """Runs the command to its end and gives its exit code."""
        self._process = start(command, log, environment)
        while (code := self._process.poll()) is None:  # wait() would lock out the handler that calls checkpoint()
            time.sleep(POLL_SECONDS)
        if code == INTERRUPTED:
            # The queue told all processes of this job to end, and kills it soon. Ending before would look like success.
            time.sleep(SECONDS_UNTIL_KILLED)
        return code

    def checkpoint(self, *arguments: Any) -> Any:
        """Stops the run, and gives submitit what to queue again: the same command, which resumes."""
        if self._process is not None:
            stop(self._process, PATIENCE_SECONDS)
        return import_module("submitit.helpers").DelayedSubmission(Training(), *arguments)
