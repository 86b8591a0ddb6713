"""The layer that schedules are compared on: every schedule computes the same, its products alone do not."""

import itertools

import jax
import numpy as np

from icrl.timing.state_space import SCHEDULES, Shape, layer_programs, measure_layer

SHAPE = Shape(num_steps=5, rows=2, width=3, pairs=2)


def test_all_schedules_give_the_output_and_gradients_of_the_plain_form():
    outcomes = {name: jax.tree.leaves(program()) for name, program in layer_programs(SHAPE, clock=lambda: 0.0).items()}
    assert set(outcomes) == {*SCHEDULES, "products"}
    for name in ("parallel", "sequential"):
        for found, expected in zip(outcomes[name], outcomes["plain"], strict=True):
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    assert not np.allclose(outcomes["products"][0], outcomes["plain"][0])


def test_the_record_says_what_auto_picks_and_what_the_others_cost():
    ticks = itertools.count()
    record = measure_layer(SHAPE, repetitions=2, clock=lambda: float(next(ticks)))
    assert record["auto"] == "parallel"  # of so few numbers a step
    assert set(record["schedules"]) == {*SCHEDULES, "products"}
    one = {"median": 1.0, "low": 1.0, "high": 1.0}
    assert record["plain_to_auto"] == record["auto_to_products"] == record["schedules"]["plain"]["seconds"] == one
