"""Models that break the contract, each in one way: the part that says so, and how."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from icrl.contracts.models import examine_model
from icrl.models import ModelSpec, SequenceModel
from icrl.types import select_rows


@dataclass(frozen=True)
class LeakySpec(ModelSpec):
    """A leaky sum, which keeps the contract unless told not to."""

    width: int = 4
    fault: str = ""
    extras: Any = ()

    def build(self, name: str | None = None) -> SequenceModel:
        return Leaky(self, name=None if self.fault == "unnamed" else name)


class Leaky(SequenceModel):
    spec: LeakySpec

    def initial_state(self, batch: int):
        if self.spec.fault == "columns":
            return jnp.zeros((self.spec.width, batch))
        return jnp.zeros((batch, self.spec.width))

    @nn.compact
    def __call__(self, state, x, reset):
        fault, width = self.spec.fault, self.spec.width
        if fault == "broken":
            raise ValueError("shapes do not match")
        x = nn.Dense(width, param_dtype=jnp.complex64 if fault == "complex" else jnp.float32)(x).real
        if fault == "ahead":
            x = x + x.mean(axis=0)
        if fault == "rows":
            x = x + x.mean(axis=1, keepdims=True)
        if fault == "detached":
            x = jax.lax.stop_gradient(x)

        def step(state, inputs):
            x, reset = inputs
            if fault == "product":
                state = state * (1 - reset[:, None])
            elif fault == "straight through":
                cleared = select_rows(reset, jnp.zeros_like(state), state)
                state = state + jax.lax.stop_gradient(cleared - state)
            elif fault != "no reset":
                state = select_rows(reset, jnp.zeros_like(state), state)
            state = 0.9 * state + x
            return state, state

        new_state, y = jax.lax.scan(step, state, (x, reset))
        if fault == "forgets":
            new_state = 0.5 * new_state
        if fault == "half":
            y = y.astype(jnp.float16)
        if fault == "growing":
            new_state = jnp.concatenate([new_state, new_state])
        if fault == "root":
            y = jnp.sqrt(jnp.abs(x - x))
        return new_state, y


@cache
def broken_by(fault: str) -> dict[str, str]:
    """What a fault breaks, and how, by promise."""
    return {finding.promise: finding.broken for finding in examine_model(LeakySpec(fault=fault)) if finding.broken}


@pytest.mark.parametrize(
    ("fault", "promise", "how"),
    [
        ("broken", "It is built", "ValueError: shapes do not match"),
        ("unnamed", "The spec is a value", "build(name='model') gives a model named None"),
        ("columns", "It is built", "ValueError: Incompatible shapes"),
        ("half", "Outputs are float32 [T, B, H]", "the output is float16; expected float32"),
        ("growing", "Outputs are float32 [T, B, H]", "the memory was float32[3,4] and is float32[6,4] after 1 steps"),
        ("complex", "Parameters are real", "is complex64"),
        ("forgets", "One call on T steps", "output [step, row, feature], step by step: got "),
        ("forgets", "Two halves give", "output [step, row, feature], by halves: got "),
        ("no reset", "A reset within a sequence", "output [step, row, feature] from the reset on: got "),
        ("no reset", "No gradient crosses a reset", "outputs after a reset have a gradient to inputs before it"),
        (
            "straight through",
            "No gradient crosses a reset",
            "outputs after a reset have a gradient to inputs before it",
        ),
        ("product", "NaN and infinity before a reset", "outputs after the reset are not finite; choose the cleared"),
        ("detached", "Gradients to all parameters", "all are zero"),
        ("root", "Gradients to all parameters", "that to ['params']['Dense_0']['bias'] is not"),
        ("ahead", "Outputs do not depend on later", "before inputs that were changed: got "),
        ("rows", "A row's outputs", "beside a row that was changed: got "),
    ],
)
def test_a_broken_part_is_named_with_how_it_is_broken(fault: str, promise: str, how: str):
    ((_, found),) = [(kept, said) for kept, said in broken_by(fault).items() if kept.startswith(promise)]
    assert how in found


def test_a_model_that_breaks_nothing_is_found_fault_with_nowhere():
    assert broken_by("") == {}


def test_a_spec_that_cannot_be_hashed_is_found():
    (value,) = [
        f for f in examine_model(replace(LeakySpec(), extras=[1])) if f.promise.startswith("The spec is a value")
    ]
    assert value.broken.startswith("TypeError: unhashable type")
