"""A run as a process of its own, which a launcher can stop without losing what it has learned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ICRL = (sys.executable, "-m", "icrl")
"""The command whose verbs are launched."""

POLL_SECONDS = 0.2


def icrl(*arguments: str) -> list[str]:
    """The words of an `icrl` command."""
    return [*ICRL, *arguments]


def start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts a command whose words go to the end of a log file.

    It hears of an interruption from its launcher alone: not from the terminal, nor from a queue's warning signal.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            preexec_fn=_ignore_what_others_send,
        )


def _ignore_what_others_send() -> None:
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def stop(process: subprocess.Popen[bytes], patience_seconds: float) -> None:
    """Asks a process to write a checkpoint and end; kills it if it takes longer than that."""
    process.terminate()
    deadline = time.monotonic() + patience_seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    process.kill()
