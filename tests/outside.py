"""Modules of a user's own, written into a folder, and forgotten after the test."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from icrl import plugins

MODEL = '''
"""A model of a user's own."""

from dataclasses import dataclass
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from icrl.fields import above
from icrl.models import ModelSpec, SequenceModel
from icrl.types import select_rows


@dataclass(frozen=True)
class DecaySpec(ModelSpec):
    width: int = 8
    decay: Annotated[float, above(0)] = 0.9

    def build(self, name=None):
        return Decay(self, name=name)


class Decay(SequenceModel):
    spec: DecaySpec

    def initial_state(self, batch):
        return jnp.zeros((batch, self.spec.width))

    @nn.compact
    def __call__(self, state, x, reset):
        def step(state, inputs):
            x, reset = inputs
            state = select_rows(reset, jnp.zeros_like(state), state)
            state = self.spec.decay * state + x
            return state, state

        state, y = jax.lax.scan(step, state, (nn.Dense(self.spec.width)(x), reset))
        return state, nn.gelu(y)
'''

ENVIRONMENT = """
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from icrl.envs.environment import Environment
from icrl.envs.projection import Family
from icrl.envs.spaces import Continuous
from icrl.types import Transition

SIGNS = {"right": 1.0, "left": -1.0}


@dataclass(frozen=True)
class Walk(Environment):
    tasks: tuple[str, ...] = ("right", "left")
    observation_size = 2
    action_space = Continuous(1)

    def sample_task(self, index, *, key):
        return jnp.array([SIGNS[task] for task in self.tasks])[index]

    def reset(self, task, *, key):
        position = jax.random.uniform(key)
        return position, self._observe(position)

    def step(self, task, state, action, *, key):
        position = state + 0.1 * jnp.clip(action[0], -1.0, 1.0)
        false = jnp.zeros((), bool)
        return position, Transition(self._observe(position), task * position, false, false)

    def _observe(self, position):
        return jnp.stack([position, jnp.ones_like(position)])


def shuffle(outer, inner, *, key):
    return jnp.eye(outer, inner)[jax.random.permutation(key, outer)]


SHUFFLE = Family(shuffle)
"""


def lay_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str) -> Path:
    """The folder of a spec, `mine.yaml`, beside the modules that it names; the tests work in another."""
    folder, elsewhere = tmp_path / "specs", tmp_path / "elsewhere"
    for made in (folder, elsewhere):
        made.mkdir()
    monkeypatch.chdir(elsewhere)
    for name, text in (("my_models.py", MODEL), ("my_envs.py", ENVIRONMENT), ("mine.yaml", spec)):
        (folder / name).write_text(text)
    return folder


@contextmanager
def forgotten() -> Iterator[None]:
    """Leaves no module, folder or name behind."""
    before, path = set(sys.modules), list(sys.path)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for memory in ("_of_specs", "_of_runs"):
                patch.setattr(plugins, memory, [])
            for memory in ("_appended", "_used"):
                patch.setattr(plugins, memory, set())
            patch.setattr(plugins, "_names", {})
            yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if name.startswith("my_"):
                del sys.modules[name]
        plugins._entry_points.cache_clear()
