"""What sequence models cost against sequence length. Timings come back as records; nothing is printed here.

Compiling is timed apart from running. Repetitions of all models at one length are interleaved, so that drift of the
machine hits all alike, and medians stand with the interval of the middle half.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from icrl.models import ModelSpec
from icrl.types import PyTree

Clock = Callable[[], float]


@dataclass(frozen=True)
class Limits:
    """When a measurement is skipped instead of made."""

    seconds: float = 20.0
    """Longest estimated time of one gradient."""
    memory_bytes: float = 8e9
    """Largest working memory that the compiler reports for one program."""


class Seconds(NamedTuple):
    """Median, and the interval that holds the middle half of the repetitions."""

    median: float
    low: float
    high: float


class Program(NamedTuple):
    """A compiled function with the arguments it is timed on."""

    compiled: Any
    arguments: tuple[PyTree, ...]
    compile_seconds: float

    @property
    def working_bytes(self) -> int:
        """Temporary memory, from the compiler's own analysis."""
        return int(self.compiled.memory_analysis().temp_size_in_bytes)


def programs(spec: ModelSpec, length: int, batch: int, clock: Clock) -> Iterator[tuple[str, Program]]:
    """The three uses of a model: one acting step, a forward pass over ``length`` steps, and its gradient.

    Inputs are normal draws; one row in eight starts an episode at any step, so resets are exercised.
    """
    model = spec.build()
    x_key, reset_key, params_key = jax.random.split(jax.random.PRNGKey(0), 3)
    x_TBH = jax.random.normal(x_key, (length, batch, spec.width))
    reset_TB = jax.random.bernoulli(reset_key, 1 / 8, (length, batch))
    state = model.initial_state(batch)
    params = jax.jit(model.init)(params_key, state, x_TBH[:1], reset_TB[:1])

    def forward(params, state, x, reset) -> Any:
        return model.apply(params, state, x, reset)

    def gradient(params, state, x, reset):
        return jax.grad(lambda params: jnp.mean(jnp.square(forward(params, state, x, reset)[1])))(params)

    whole = (params, state, x_TBH, reset_TB)
    for use, function, arguments in (
        ("act", forward, (params, state, x_TBH[:1], reset_TB[:1])),
        ("forward", forward, whole),
        ("gradient", gradient, whole),
    ):
        started = clock()
        compiled = jax.jit(function).lower(*arguments).compile()
        yield use, Program(compiled, arguments, clock() - started)


def measure_length(
    models: Mapping[str, ModelSpec],
    length: int,
    *,
    batch: int,
    repetitions: int,
    limits: Limits,
    previous: Mapping[str, Mapping[str, Any]],
    clock: Clock = time.perf_counter,
) -> list[dict[str, Any]]:
    """One record a model at one length.

    ``previous`` holds the records of the length before, by model; a model that was skipped there, or whose gradient
    would exceed the limits if time grew with the square of length, is skipped here and its record says why.
    """
    records: dict[str, dict[str, Any]] = {}
    timed: list[tuple[str, str, Program]] = []
    for name, spec in models.items():
        record = records[name] = {"model": name, "length": length, "batch": batch, "spec": asdict(spec)}
        if reason := _too_slow(previous.get(name), length, limits):
            record["skipped"] = reason
            continue
        built = dict(programs(spec, length, batch, clock))
        record["num_parameters"] = sum(leaf.size for leaf in jax.tree.leaves(built["act"].arguments[0]))
        record["compile_seconds"] = {use: program.compile_seconds for use, program in built.items()}
        record["working_bytes"] = {use: program.working_bytes for use, program in built.items()}
        if max(record["working_bytes"].values()) > limits.memory_bytes:
            record["skipped"] = f"needs {max(record['working_bytes'].values()) / 1e9:.1f} GB of working memory"
            continue
        timed.extend((name, use, program) for use, program in built.items())

    samples: dict[tuple[str, str], list[float]] = {}
    for repetition in range(-1, repetitions):  # the first round warms up
        for name, use, program in timed:
            started = clock()
            jax.block_until_ready(program.compiled(*program.arguments))
            if repetition >= 0:
                samples.setdefault((name, use), []).append(clock() - started)
    for (name, use), seconds in samples.items():
        low, median, high = np.percentile(seconds, (25, 50, 75))
        records[name][f"{use}_seconds"] = Seconds(float(median), float(low), float(high))._asdict()
    return list(records.values())


def scaling_exponent(lengths: np.ndarray, seconds: np.ndarray) -> float:
    """Slope of log time against log length over the upper half of the lengths."""
    half = slice(len(lengths) // 2, None)
    return float(np.polyfit(np.log(lengths[half]), np.log(seconds[half]), 1)[0])


def _too_slow(before: Mapping[str, Any] | None, length: int, limits: Limits) -> str | None:
    if before is None:
        return None
    if "skipped" in before:
        return before["skipped"]
    estimate = before["gradient_seconds"]["median"] * (length / before["length"]) ** 2
    return f"gradient estimated at {estimate:.0f} s" if estimate > limits.seconds else None
