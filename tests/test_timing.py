"""The benchmark's measurements: complete records, skips with their reason, exponents of known curves."""

import numpy as np
import pytest

from icrl.commands.benchmark import SWEEP, parse_lengths
from icrl.errors import UserError
from icrl.models import GRUSpec, MLPSpec
from icrl.timing import Limits, measure_length, scaling_exponent

MODELS = {"gru": GRUSpec(width=4), "mlp": MLPSpec(width=4, num_layers=1)}
USES = ("act", "forward", "gradient")


def ticking():
    """A clock that advances by one second a reading."""
    seconds = 0.0

    def clock() -> float:
        nonlocal seconds
        seconds += 1.0
        return seconds

    return clock


def test_every_model_is_timed_in_every_use_by_the_clock_given():
    records = measure_length(MODELS, 8, batch=2, repetitions=3, limits=Limits(), previous={}, clock=ticking())
    assert [record["model"] for record in records] == ["gru", "mlp"]
    for record in records:
        assert record["num_parameters"] > 0
        assert record["compile_seconds"] == dict.fromkeys(USES, 1.0)
        assert all(record["working_bytes"][use] >= 0 for use in USES)
        for use in USES:
            assert record[f"{use}_seconds"] == {"median": 1.0, "low": 1.0, "high": 1.0}


def test_what_would_take_too_long_is_skipped_with_its_estimate_and_stays_skipped():
    before = {"gru": {"length": 8, "gradient_seconds": {"median": 1.0}}}
    models = {"gru": MODELS["gru"]}
    limits = Limits(seconds=3.0)
    [record] = measure_length(models, 16, batch=2, repetitions=1, limits=limits, previous=before)
    assert record["skipped"] == "gradient estimated at 4 s"
    [later] = measure_length(models, 32, batch=2, repetitions=1, limits=limits, previous={"gru": record})
    assert later["skipped"] == record["skipped"]
    assert "gradient_seconds" not in later


def test_the_exponent_of_a_power_law_is_its_power():
    lengths = np.array([8, 16, 32, 64])
    assert scaling_exponent(lengths, 3e-4 * lengths**1.5) == pytest.approx(1.5)


def test_lengths_are_sorted_and_distinct():
    assert parse_lengths("64,8,64") == (8, 64)
    assert parse_lengths("sweep") == SWEEP


@pytest.mark.parametrize("text", ["", "0", "8,-1", "many", "8,,16"])
def test_lengths_that_are_none_are_refused(text: str):
    with pytest.raises(UserError) as refused:
        parse_lengths(text)
    assert str(refused.value) == f"--seq-len: got {text!r}; expected sweep, a length in steps, or several: 128,1024"
