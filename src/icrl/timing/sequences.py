"""What sequence models cost against sequence length."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from icrl.models import HybridSpec, ModelSpec, TransformerSpec
from icrl.timing.matching import num_parameters
from icrl.timing.programs import Clock, Interval, Program, interleave, ratios, scaling_exponent
from icrl.timing.spec import BenchmarkSpec
from icrl.types import PyTree

Record = dict[str, Any]
UpdateOf = Callable[[ModelSpec, int], Program]
"""The program of one learner update, for a model and a length."""


def sequence_programs(spec: ModelSpec, length: int, rows: int, clock: Clock) -> Iterator[tuple[str, Program]]:
    """A model's uses, from a carried state: one acting step, a forward pass over ``length`` steps, and its gradient.

    Inputs are normal draws; each step of each row starts an episode with probability 1/64. A transformer's window is
    as long as the sequence.
    """
    model, params = spec.build(), _fresh_params(_of_window(spec, 1))
    x_key, reset_key = jax.random.split(jax.random.PRNGKey(0))
    x_TBH = jax.random.normal(x_key, (length, rows, spec.width))
    reset_TB = jax.random.bernoulli(reset_key, 1 / 64, (length, rows))

    def forward(params, state, x, reset) -> Any:
        return model.apply(params, state, x, reset)

    def gradient(params, state, x, reset):
        return jax.grad(lambda params: jnp.mean(jnp.square(forward(params, state, x, reset)[1])))(params)

    act = Program.of(forward, params, model.initial_state(rows), x_TBH[:1], reset_TB[:1], clock=clock)
    state, _ = act()
    yield "act", replace(act, arguments=(params, state, x_TBH[:1], reset_TB[:1]))
    yield "forward", Program.of(forward, params, state, x_TBH, reset_TB, clock=clock)
    yield "gradient", Program.of(gradient, params, state, x_TBH, reset_TB, clock=clock)


@cache
def _fresh_params(spec: ModelSpec) -> PyTree:
    """A model's parameters, for every length; a transformer's do not depend on its window."""
    model = spec.build()
    x, reset = jnp.zeros((1, 1, spec.width)), jnp.zeros((1, 1), bool)
    return jax.jit(model.init)(jax.random.PRNGKey(0), model.initial_state(1), x, reset)


def _of_window(spec: ModelSpec, window: int) -> ModelSpec:
    """The same with another window, where it has one."""
    if isinstance(spec, HybridSpec):
        return replace(spec, parts=tuple(_of_window(part, window) for part in spec.parts))
    return replace(spec, window=window) if isinstance(spec, TransformerSpec) else spec


def measure_length(
    models: Mapping[str, ModelSpec],
    length: int,
    *,
    spec: BenchmarkSpec,
    previous: Sequence[Mapping[str, Mapping[str, Any]]] = (),
    update_of: UpdateOf | None = None,
    clock: Clock,
) -> dict[str, Record]:
    """One record a model at one length.

    A model is skipped, and its record gives the estimate, if it was skipped at a length before, if one of its programs
    would take too long by the growth seen over the lengths in ``previous`` (the square of the length until two are
    known), or if XLA reports too much memory for one.
    """
    records: dict[str, Record] = {}
    timed: dict[tuple[str, str], Program] = {}
    for name, model in models.items():
        model = _of_window(model, length)
        records[name] = {"model": name, "length": length, "rows": spec.rows, "spec": asdict(model)}
        if reason := _too_slow([found[name] for found in previous if name in found], length, spec.max_seconds):
            records[name]["skipped"] = reason
            continue
        programs = dict(sequence_programs(model, length, spec.rows, clock))
        if update_of is not None:
            programs["update"] = update_of(model, length)
        use, largest = max(programs.items(), key=lambda item: item[1].peak_bytes)
        if largest.peak_bytes > spec.max_memory_bytes:
            records[name]["skipped"] = f"{use} would need {largest.peak_bytes / 1e9:.1f} GB at {length:,} steps"
            continue
        records[name]["num_parameters"] = num_parameters(model)
        timed |= {(name, use): program for use, program in programs.items()}

    samples = interleave(timed, spec.repetitions, clock)
    for (name, use), program in timed.items():
        measured = {
            "seconds": Interval.of(samples[name, use])._asdict(),
            "samples": samples[name, use],
            "compile_seconds": program.compile_seconds,
            "memory_bytes": program.memory_bytes,
        }
        if ("s5", use) in samples:
            measured["to_s5"] = ratios(samples[name, use], samples["s5", use])._asdict()
        records[name].setdefault("programs", {})[use] = measured
    return records


def exponents(records: Sequence[Record]) -> dict[str, dict[str, Interval]]:
    """Per model and use, the power of the length that time grows with; absent below three lengths."""
    found: dict[str, dict[str, Interval]] = {}
    for name in dict.fromkeys(record["model"] for record in records):
        measured = [record for record in records if record["model"] == name and "programs" in record]
        if len(measured) >= 3:
            lengths = [record["length"] for record in measured]
            found[name] = {
                use: scaling_exponent(lengths, [record["programs"][use]["samples"] for record in measured])
                for use in measured[0]["programs"]
            }
    return found


def _too_slow(before: Sequence[Mapping[str, Any]], length: int, max_seconds: float) -> str | None:
    """Why a model is not measured at this length; None if it is."""
    if not before:
        return None
    known = [record for record in before if "programs" in record]
    too_large = before[-1].get("skipped")
    if not known:
        return too_large
    last = known[-1]
    estimates = {}
    for use, measured in last["programs"].items():
        seconds, power = measured["seconds"]["median"], 2.0
        if len(known) > 1:
            growth = math.log(seconds / known[-2]["programs"][use]["seconds"]["median"])
            power = max(0.0, growth / math.log(last["length"] / known[-2]["length"]))
        estimates[use] = seconds * (length / last["length"]) ** power
    use, estimate = max(estimates.items(), key=lambda item: item[1])
    return f"{use} would take {estimate:.0f} s at {length:,} steps" if estimate > max_seconds else too_large
