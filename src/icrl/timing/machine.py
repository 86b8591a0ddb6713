"""What the machine can do at best, measured, and what this process has used."""

import resource
import sys
import time

import jax
import jax.numpy as jnp

from icrl.timing.programs import Clock, Program, interleave

PRODUCT_SIZE = 1024
COPY_FLOATS = 2**24


def machine_rates(repetitions: int = 5, clock: Clock = time.perf_counter) -> dict[str, float]:
    """Rates of a large float32 matrix product and of a copy through memory, from the fastest repetition."""
    square, long = jnp.ones((PRODUCT_SIZE, PRODUCT_SIZE)), jnp.ones(COPY_FLOATS)
    programs = {
        "product": Program.of(jnp.matmul, square, square, clock=clock),
        "copy": Program.of(lambda x: x + 1, long, clock=clock),
    }
    least = {name: min(samples) for name, samples in interleave(programs, repetitions, clock).items()}
    return {
        "product_flops_per_second": 2 * PRODUCT_SIZE**3 / least["product"],
        "copy_bytes_per_second": 2 * 4 * COPY_FLOATS / least["copy"],
    }


def peak_bytes() -> dict[str, int]:
    """Most memory ever held: by the process, and by the first device where it keeps count."""
    unit = 1 if sys.platform == "darwin" else 1024
    found = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    device = jax.devices()[0].memory_stats() or {}
    return found | ({"device": device["peak_bytes_in_use"]} if "peak_bytes_in_use" in device else {})
