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

SENT_BY_OTHERS = (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that a terminal or a queue may send to a launcher and all that it started."""

POLL_SECONDS = 0.2


def icrl(*arguments: str) -> list[str]:
    """The words of an `icrl` command."""
    return [*ICRL, *arguments]


def start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts a command whose words go to the end of a log file.

    It hears of an interruption from its launcher alone: not from the terminal, nor from a queue's warning signal.

    Raises:
        OSError: the log cannot be written, or is a symbolic link.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab", opener=_refuse_a_link) as file:
        # A process starts with its parent's blocked signals; JAX's threads rule out to set them after a fork.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SENT_BY_OTHERS)
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _refuse_a_link(path: str, flags: int) -> int:
    """Opens a file, but none that a link in a run of somebody else's has put elsewhere (OSError ELOOP)."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def stop(process: subprocess.Popen[bytes], patience_seconds: float) -> None:
    """Asks a process to write a checkpoint and end; kills it if it takes longer than that."""
    process.terminate()
    deadline = time.monotonic() + patience_seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    process.kill()
