"""What this machine has left for runs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

ACCELERATORS = ("nvidia[0-9]*", "accel[0-9]*", "kfd")
"""Files in /dev: of NVIDIA's GPUs, TPUs, AMD's GPUs."""

MEMINFO = Path("/proc/meminfo")

CGROUP_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Files in /sys/fs/cgroup that say how much memory a container may hold."""


@dataclass(frozen=True)
class Machine:
    """Cores, memory, and whether there are accelerators."""

    cores: int
    memory_gb: float
    has_accelerator: bool

    @classmethod
    def here(cls) -> Machine:
        """What this process may use of this machine, now."""
        return cls(cores(), _free_bytes() / 1e9, _has_accelerator())


def cores() -> int:
    """Cores that this process may use; all of them where the system, as macOS, grants no fewer."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_bytes() -> float:
    """Memory that can be had without swapping, within the limit of a container; all there is where none says so."""
    if not MEMINFO.exists():
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    (free,) = re.findall(r"^MemAvailable:\s+(\d+) kB", MEMINFO.read_text(encoding="utf-8"), re.MULTILINE)
    limits = [Path("/sys/fs/cgroup", name) for name in CGROUP_LIMITS]
    texts = [path.read_text(encoding="utf-8").strip() for path in limits if path.exists()]
    return min(1024.0 * int(free), *(float(text) for text in texts if text.isdigit()), float("inf"))


def _has_accelerator() -> bool:
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    return any(any(Path("/dev").glob(pattern)) for pattern in ACCELERATORS)
