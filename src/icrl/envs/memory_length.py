"""bsuite's memory length (arXiv 1908.03568, "memory_len"): a bit is shown first and asked for last.

Steps, sizes and rewards are those of bsuite 0.3.6, and of Gymnax without its limit of 1,000 steps, which would end the
longest trials before their reward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from icrl.envs.environment import Environment
from icrl.envs.spaces import Discrete, Space
from icrl.types import Key, Transition

TASKS = {f"memory_length_{length}": length for length in (2**power for power in range(2, 14))}
"""The paper's lengths, 4 to 2,048, and two more, by task name."""


class Chain(NamedTuple):
    """Where a trial is."""

    context: jax.Array  # [] int32: the bit to remember
    step: jax.Array  # [] int32: steps taken


@dataclass(frozen=True)
class MemoryLength(Environment):
    """A trial of ``length + 1`` steps, of which only the last earns: 1 for the action that names the bit, else -1.

    Observation: time left, the query, the bit as -1 or 1. As in bsuite a step shows the time at which it was taken: so
    the bit stands in the first two observations, time left falls from 1, again 1, by ``1 / length`` to 0, and the last
    decision is made at time 0. The query is the index of the bit asked for; there is one bit, so it reads 0.
    """

    tasks: tuple[str, ...]
    length: int

    observation_size = 3
    action_space: Space = Discrete(2)  # noqa: RUF009

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """Every trial has as many."""
        return self.length + 1

    def sample_task(self, index: jax.Array, *, key: Key) -> tuple[()]:
        """Nothing stays the same from trial to trial."""
        del index, key
        return ()

    def reset(self, task: tuple[()], *, key: Key) -> tuple[Chain, jax.Array]:
        """Draws a fair bit and shows it."""
        state = Chain(jax.random.bernoulli(key).astype(jnp.int32), jnp.int32(0))
        return state, self._observe(state)

    def step(self, task: tuple[()], state: Chain, action: jax.Array, *, key: Key) -> tuple[Chain, Transition]:
        """Waits, or at last judges the action."""
        del key
        last = state.step == self.length
        reward = jnp.where(last, jnp.where(action == state.context, 1.0, -1.0), 0.0)
        transition = Transition(self._observe(state), reward, terminated=last, truncated=jnp.zeros((), bool))
        return state._replace(step=state.step + 1), transition

    def _observe(self, state: Chain) -> jax.Array:
        bit = jnp.where(state.step == 0, 2 * state.context - 1, 0)
        return jnp.array([1 - state.step / self.length, 0, bit], jnp.float32)


def environments(tasks: Sequence[str]) -> tuple[MemoryLength, ...]:
    """One environment per length: their trials end at different steps."""
    return tuple(MemoryLength((name,), TASKS[name]) for name in tasks)
