"""What a run uses of its machine, and what other programs do: a record's times hold for a machine that had no other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import jax

STAT = Path("/proc/stat")


def memory_now() -> dict[str, int]:
    """Bytes of this process that are in RAM, where the system says so, and of the arrays that JAX keeps alive."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        resident = {}
    else:
        resident = {"resident_bytes": pages * os.sysconf("SC_PAGE_SIZE")}
    return {**resident, "live_array_bytes": sum(array.nbytes for array in jax.live_arrays())}


class OtherPrograms:
    """The cores that other programs keep busy, from now on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock(), _seconds_of_others()

    def cores(self) -> float | None:
        """How many, on average; None where the system does not say (Linux does)."""
        started, before = self._started
        after, elapsed = _seconds_of_others(), self._clock() - started
        if before is None or after is None or elapsed <= 0:
            return None
        return round(max(0.0, (after - before) / elapsed), 3)


def _seconds_of_others() -> float | None:
    """Processor time of all programs but this one and its children."""
    try:
        kind, *ticks = STAT.read_text(encoding="utf-8").partition("\n")[0].split()
        user, nice, system, _, _, interrupt, soft_interrupt, steal = map(int, ticks[:8])
    except (OSError, ValueError):
        return None
    busy = (user + nice + system + interrupt + soft_interrupt + steal) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4]) if kind == "cpu" else None
