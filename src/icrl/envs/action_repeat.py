"""Longer env steps: one action, held for several steps of an environment."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from icrl.envs.environment import Wrapper
from icrl.types import Key, PyTree, Transition


@dataclass(frozen=True)
class ActionRepeat(Wrapper):
    """Holds every action for ``times`` steps of the environment within, which count as one.

    The reward is their mean, so that rewards keep their range; steps after the trial's end count as 0.
    """

    times: int

    @property
    def max_trial_steps(self) -> int | None:  # type: ignore[override]
        """That of the environment within, in longer steps."""
        inner = self.inner.max_trial_steps
        return None if inner is None else math.ceil(inner / self.times)

    def step(self, task: PyTree, state: PyTree, action: jax.Array, *, key: Key) -> tuple[PyTree, Transition]:
        """Takes the action ``times`` times; what follows the trial's end is computed and not used."""

        def again(before: tuple[PyTree, Transition], key: Key) -> tuple[tuple[PyTree, Transition], jax.Array]:
            ended = before[1].terminated | before[1].truncated
            after = self.inner.step(task, before[0], action, key=key)
            after = jax.tree.map(lambda old, new: jnp.where(ended, old, new), before, after)
            return after, jnp.where(ended, 0.0, after[1].reward)

        false = jnp.zeros((), bool)
        nothing_yet = Transition(jnp.zeros(self.observation_size), jnp.zeros(()), false, false)
        (state, last), rewards = jax.lax.scan(again, (state, nothing_yet), jax.random.split(key, self.times))
        return state, last._replace(reward=rewards.mean())
