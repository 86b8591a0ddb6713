"""Timing itself: rounds are interleaved, the first is dropped, ratios pair by pair, intervals hold what they say."""

import jax.numpy as jnp
import numpy as np
import pytest

from icrl.timing import programs
from icrl.timing.programs import Interval, Program, interleave, ratios, scaling_exponent


def test_programs_take_turns_and_the_first_round_is_not_counted():
    calls, now = [], [0.0]

    def program(name, seconds):
        def run():
            calls.append(name)
            now[0] += seconds

        return run

    samples = interleave({"a": program("a", 1.0), "b": program("b", 2.0)}, 2, clock=lambda: now[0])
    assert calls == ["a", "b"] * 3
    assert samples == {"a": [1.0, 1.0], "b": [2.0, 2.0]}


def test_a_quick_program_is_called_until_the_clock_can_tell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(programs, "LEAST_SECONDS", 1.0)
    calls, now = [0], [0.0]

    def quick():
        calls[0] += 1
        now[0] += 0.5 if calls[0] == 1 else 0.25  # in powers of two, which sums keep; a first call takes longer

    samples = interleave({"quick": quick}, 3, clock=lambda: now[0])
    assert samples == {"quick": [0.25] * 3}
    assert calls[0] == 2 + 3 * 4


def test_ratios_pair_rounds_so_that_drift_cancels():
    drift = np.array([1.0, 5.0, 2.0])
    assert ratios(list(3 * drift), list(drift)) == Interval(3.0, 3.0, 3.0)


def test_an_interval_is_the_median_between_the_quartiles():
    assert Interval.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Interval(3.0, 2.0, 4.0)


def test_a_program_computes_and_counts_what_its_function_does():
    size = 8
    program = Program.of(jnp.matmul, jnp.ones((size, size)), jnp.ones((size, size)))
    np.testing.assert_array_equal(program(), np.full((size, size), size))
    assert program.flops == 2 * size**3
    assert program.bytes_accessed == 3 * 4 * size**2
    assert program.memory_bytes == {"arguments": 2 * 4 * size**2, "results": 4 * size**2, "temporary": 0}
    assert program.peak_bytes == 3 * 4 * size**2


def test_the_exponent_of_a_power_law_is_its_power_in_the_upper_half():
    lengths = [8, 16, 32, 64]
    seconds = [[1.0], [1.0], [32**1.5], [64**1.5]]
    assert scaling_exponent(lengths, seconds) == pytest.approx((1.5, 1.5, 1.5))
