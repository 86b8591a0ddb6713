"""What a run holds in memory at a moment, so that a record can show that it does not grow."""

import os
from pathlib import Path

import jax


def memory_now() -> dict[str, int]:
    """Bytes of this process that are in RAM, where the system says so, and of the arrays that JAX keeps alive."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        resident = {}
    else:
        resident = {"resident_bytes": pages * os.sysconf("SC_PAGE_SIZE")}
    return {**resident, "live_array_bytes": sum(array.nbytes for array in jax.live_arrays())}
