"""The sweep: complete records, skips with their estimates, a transformer that sees the whole sequence."""

import pytest

from icrl.models import GRUSpec, MLPSpec, TransformerSpec
from icrl.timing.programs import Program
from icrl.timing.sequences import exponents, measure_length, sequence_programs
from icrl.timing.spec import BenchmarkSpec

MODELS = {"gru": GRUSpec(width=4), "s5": MLPSpec(width=4, num_layers=1)}
USES = ["act", "forward", "gradient", "update"]


def ticking():
    """A clock that advances by one second a reading."""
    seconds = 0.0

    def clock() -> float:
        nonlocal seconds
        seconds += 1.0
        return seconds

    return clock


def doubling(model, length):
    return Program.of(lambda x: 2 * x, float(length), clock=lambda: 0.0)


def measured(length: int, **seconds: float) -> dict:
    return {"length": length, "programs": {use: {"seconds": {"median": s}} for use, s in seconds.items()}}


def test_every_model_is_timed_in_every_use_by_the_clock_given():
    records = measure_length(MODELS, 8, spec=BenchmarkSpec(rows=2, repetitions=3), update_of=doubling, clock=ticking())
    assert list(records) == ["gru", "s5"]
    for record in records.values():
        assert record["num_parameters"] > 0
        assert list(record["programs"]) == USES
        for use, program in record["programs"].items():
            assert program["samples"] == [1.0, 1.0, 1.0]
            assert program["seconds"] == program["to_s5"] == {"median": 1.0, "low": 1.0, "high": 1.0}
            assert program["compile_seconds"] == (0.0 if use == "update" else 1.0)
            assert set(program["memory_bytes"]) == {"arguments", "results", "temporary"}


@pytest.mark.parametrize(
    ("previous", "estimate"),
    [
        ([measured(8, act=1.0, gradient=2.0)], "gradient would take 8 s at 16 steps"),
        ([measured(4, gradient=1.0), measured(8, gradient=2.0)], "gradient would take 4 s at 16 steps"),
        ([measured(4, gradient=0.5), measured(8, gradient=2.0)], "gradient would take 8 s at 16 steps"),
        ([{"length": 8, "skipped": "act would need 9.0 GB at 8 steps"}], "act would need 9.0 GB at 8 steps"),
        (
            [measured(4, act=1e-3), {"length": 8, "skipped": "act would need 9.0 GB at 8 steps"}],
            "act would need 9.0 GB at 8 steps",
        ),
        (
            [measured(2, act=0.125), measured(4, act=0.5), {"length": 8, "skipped": "act would take 2 s at 8 steps"}],
            "act would take 8 s at 16 steps",
        ),
    ],
    ids=["one_length_known", "linear_so_far", "quadratic_so_far", "too_large", "too_large_later", "too_slow_before"],
)
def test_what_would_take_too_long_is_skipped_with_its_estimate(previous: list, estimate: str):
    [record] = measure_length(
        {"gru": MODELS["gru"]},
        16,
        spec=BenchmarkSpec(max_seconds=3.0),
        previous=[{"gru": of_length} for of_length in previous],
        clock=ticking(),
    ).values()
    assert record["skipped"] == estimate
    assert "programs" not in record


def test_what_would_need_too_much_memory_is_skipped_with_the_compiler_s_estimate():
    spec = BenchmarkSpec(rows=2, max_memory_bytes=100)
    [record] = measure_length({"s5": MODELS["s5"]}, 64, spec=spec, clock=ticking()).values()
    assert record["skipped"] == "gradient would need 0.0 GB at 64 steps"


def test_a_transformer_is_measured_with_the_whole_sequence_in_its_window():
    models = {"transformer": TransformerSpec(width=4, num_layers=1, num_heads=1, window=2)}
    [record] = measure_length(models, 4, spec=BenchmarkSpec(rows=1, repetitions=1), clock=ticking()).values()
    assert record["spec"]["window"] == 4
    programs = dict(sequence_programs(TransformerSpec(width=4, num_heads=1, window=4), 4, 1, ticking()))
    assert programs["act"].arguments[1][0].valid.shape == (1, 4)


def test_exponents_need_three_lengths_and_follow_the_law():
    def record(length, model, power):
        return {
            "model": model,
            "length": length,
            "programs": {"gradient": {"samples": [1e-3 * length**power * noise for noise in (0.99, 1.0, 1.01)]}},
        }

    records = [record(length, "s5", 1.0) for length in (8, 16, 32, 64)]
    records += [record(length, "transformer", 2.0) for length in (8, 16, 32)]
    records += [record(8, "gru", 1.0), record(16, "gru", 1.0)]
    found = exponents(records)
    assert set(found) == {"s5", "transformer"}
    for model, power in (("s5", 1.0), ("transformer", 2.0)):
        median, low, high = found[model]["gradient"]
        assert median == pytest.approx(power)
        assert low < power < high < low + 0.1
