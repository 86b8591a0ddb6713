"""What one S5 layer's scan costs beside its matrix products, by schedule.

The layer here is ``y = scan(u B) C``: input projection, recurrence with resets, output projection, forward and
backward. ``plain`` is the paper's form, complex throughout; ``products`` leaves the recurrence out.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from icrl.models.s5 import project_scan_project
from icrl.models.scan import Schedule, resolve
from icrl.timing.programs import Clock, Interval, Program, interleave, ratios

SCHEDULES: tuple[Schedule, ...] = ("plain", "parallel", "chunked", "sequential")
"""On any device; on a GPU also ``kernel``, which a CPU only interprets."""


class Shape(NamedTuple):
    """Steps, rows, width, state pairs."""

    num_steps: int
    rows: int
    width: int
    pairs: int


SHAPES = (Shape(1024, 8, 256, 128), Shape(1024, 64, 64, 32), Shape(128, 64, 64, 32), Shape(1024, 1, 16, 8))
LARGE = Shape(1024, 256, 256, 128)
"""Also measured on an accelerator: enough for its memory to be the limit."""


def layer_programs(shape: Shape, clock: Clock) -> dict[str, Program]:
    """Output and gradients of the layer by schedule, and of its two products alone."""
    num_steps, rows, width, pairs = shape
    keys = jax.random.split(jax.random.PRNGKey(0), 7)
    modulus, angle = jax.random.uniform(keys[0], (pairs,), minval=0.9), jax.random.uniform(keys[1], (pairs,))
    lambda_2P = jnp.concatenate([modulus * jnp.cos(angle), modulus * jnp.sin(angle)])
    b_H2P = jax.random.normal(keys[2], (width, 2 * pairs)) * width**-0.5
    c_2PH = jax.random.normal(keys[3], (2 * pairs, width)) * pairs**-0.5
    u_TBH, dy_TBH = jax.random.normal(keys[4], (2, num_steps, rows, width))
    reset_TB = jax.random.bernoulli(keys[5], 1 / 64, (num_steps, rows))
    x_B2P = jax.random.normal(keys[6], (rows, 2 * pairs))

    def program(layer_of: Callable[..., jax.Array]) -> Program:
        def run(lambda_2P, b_H2P, c_2PH, u_TBH, reset_TB, x_B2P, dy_TBH) -> Any:
            def layer(lambda_2P, b_H2P, c_2PH, u_TBH):
                return layer_of(lambda_2P, b_H2P, c_2PH, u_TBH, reset_TB, x_B2P)

            y_TBH, pull_back = jax.vjp(layer, lambda_2P, b_H2P, c_2PH, u_TBH)
            return y_TBH, pull_back(dy_TBH)

        return Program.of(run, lambda_2P, b_H2P, c_2PH, u_TBH, reset_TB, x_B2P, dy_TBH, clock=clock)

    def with_schedule(schedule: Schedule) -> Program:
        def layer(lambda_2P, b_H2P, c_2PH, u_TBH, reset_TB, x_B2P):
            return project_scan_project(lambda_2P, b_H2P, c_2PH, u_TBH, reset_TB, x_B2P, schedule)[1]

        return program(layer)

    schedules = (*SCHEDULES, "kernel") if jax.default_backend() == "gpu" else SCHEDULES
    programs = {str(schedule): with_schedule(schedule) for schedule in schedules}
    return programs | {
        "products": program(lambda lambda_2P, b_H2P, c_2PH, u_TBH, reset_TB, x_B2P: u_TBH @ b_H2P @ c_2PH)
    }


def measure_layer(shape: Shape, repetitions: int, clock: Clock = time.perf_counter) -> dict[str, Any]:
    """The record of one shape: seconds by schedule, what ``auto`` picks, and its ratios pair by pair."""
    programs = layer_programs(shape, clock)
    samples = interleave(programs, repetitions, clock)
    picked = resolve("auto", num_steps=shape.num_steps, num_states=shape.rows * shape.pairs)
    return {
        "shape": shape._asdict(),
        "auto": picked,
        "schedules": {
            name: {
                "seconds": Interval.of(samples[name])._asdict(),
                "least_seconds": min(samples[name]),
                "compile_seconds": program.compile_seconds,
                "memory_bytes": program.memory_bytes,
            }
            for name, program in programs.items()
        },
        "plain_to_auto": ratios(samples["plain"], samples[picked])._asdict(),
        "auto_to_products": ratios(samples[picked], samples["products"])._asdict(),
    }
