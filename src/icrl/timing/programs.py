"""Compiled programs, what they need, and how long they take."""

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from icrl.types import PyTree

Clock = Callable[[], float]
K = TypeVar("K", bound=Hashable)


class Interval(NamedTuple):
    """Median, and the interval that holds the middle half."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Interval":
        """Summarises repetitions."""
        low, median, high = np.percentile(samples, (25, 50, 75))
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True)
class Program:
    """A compiled function with the arguments it is timed on."""

    compiled: Any
    arguments: tuple[PyTree, ...]
    compile_seconds: float
    flops: float
    """Floating-point operations by XLA's count, in which a loop's body counts once."""

    @classmethod
    def of(cls, function: Callable[..., Any], *arguments: PyTree, clock: Clock = time.perf_counter) -> "Program":
        """Compiles a function for some arguments."""
        started = clock()
        lowered = jax.jit(function).lower(*arguments)
        compiled = lowered.compile()
        seconds = clock() - started
        return cls(compiled, arguments, seconds, float((lowered.cost_analysis() or {}).get("flops", 0.0)))

    def __call__(self) -> PyTree:
        """Runs to the end."""
        return jax.block_until_ready(self.compiled(*self.arguments))

    @property
    def memory_bytes(self) -> dict[str, int]:
        """XLA's own analysis: arguments, results, and what lives only while the program runs."""
        analysis = self.compiled.memory_analysis()
        return {
            "arguments": int(analysis.argument_size_in_bytes),
            "results": int(analysis.output_size_in_bytes),
            "temporary": int(analysis.temp_size_in_bytes),
        }

    @property
    def peak_bytes(self) -> int:
        """All of `memory_bytes` at once."""
        return sum(self.memory_bytes.values())

    @property
    def bytes_accessed(self) -> float:
        """Bytes that the compiled program reads and writes by XLA's count, in which a loop's body counts once."""
        return float((self.compiled.cost_analysis() or {}).get("bytes accessed", 0.0))


LEAST_SECONDS = 0.02
"""A sample takes so long at least; what is quicker is called again and again."""


def interleave(
    programs: Mapping[K, Callable[[], Any]], repetitions: int, clock: Clock = time.perf_counter
) -> dict[K, list[float]]:
    """Seconds of every program, ``repetitions`` each, taken in rounds of one each after a round that warms up.

    A sample is the mean of as many calls in a row as take `LEAST_SECONDS`: one, for all but the quickest programs.
    """
    calls = {name: _calls_of(program, clock) for name, program in programs.items()}
    samples: dict[K, list[float]] = {name: [] for name in programs}
    for _ in range(repetitions):
        for name, program in programs.items():
            started = clock()
            for _ in range(calls[name]):
                program()
            samples[name].append((clock() - started) / calls[name])
    return samples


def _calls_of(program: Callable[[], Any], clock: Clock) -> int:
    """Warms a program up; gives how many calls take `LEAST_SECONDS`."""
    seconds = 0.0
    for _ in range(2):  # the first call may wake what later ones find ready
        started = clock()
        program()
        if (seconds := clock() - started) >= LEAST_SECONDS:
            return 1
    return math.ceil(LEAST_SECONDS / max(seconds, 1e-6))


def ratios(samples: Sequence[float], reference: Sequence[float]) -> Interval:
    """How many times as long as the reference, pair by pair within a round."""
    return Interval.of([a / b for a, b in zip(samples, reference, strict=True)])


def scaling_exponent(lengths: Sequence[int], samples: Sequence[Sequence[float]], draws: int = 500) -> Interval:
    """Slope of log time against log length over the upper half of the lengths, at least two of them.

    The median's slope, with the 95 % interval over redrawn repetitions: a percentile bootstrap.
    """
    half = slice(min(len(lengths) // 2, len(lengths) - 2), None)
    x, times = np.log(lengths[half]), [np.asarray(seconds) for seconds in samples[half]]
    rng = np.random.default_rng(0)
    redrawn = np.stack([[np.median(rng.choice(t, t.size)) for t in times] for _ in range(draws)], axis=1)
    median = np.polyfit(x, np.log([np.median(t) for t in times]), 1)[0]
    low, high = np.percentile(np.polyfit(x, np.log(redrawn), 1)[0], (2.5, 97.5))
    return Interval(float(median), float(low), float(high))
