"""MultiarmedBandit: find the arm that pays."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from icrl.envs.popgym.popgym_environment import PopgymEnvironment, plus_or_minus
from icrl.envs.spaces import Discrete
from icrl.types import Key, Transition


class Arms(NamedTuple):
    """The machine of one trial."""

    probability: jax.Array  # [N]: of paying
    step: jax.Array  # [] int32: steps taken


@dataclass(frozen=True)
class MultiarmedBandit(PopgymEnvironment):
    """Each action pulls an arm, which pays with a probability drawn at the start: plus or minus 1 / ``num_pulls``.

    Observation: paid nothing or paid, one-hot. Truncated after ``num_pulls`` steps.
    """

    num_arms: int
    num_pulls: int

    observation_size = 2

    @property
    def action_space(self) -> Discrete:  # type: ignore[override]
        """The arm to pull."""
        return Discrete(self.num_arms)

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """``num_pulls``."""
        return self.num_pulls

    def reset(self, task: tuple[()], *, key: Key) -> tuple[Arms, jax.Array]:
        """Draws every arm's probability uniformly from [0, 1]."""
        return Arms(jax.random.uniform(key, (self.num_arms,)), jnp.int32(0)), jax.nn.one_hot(0, 2)

    def step(self, task: tuple[()], state: Arms, action: jax.Array, *, key: Key) -> tuple[Arms, Transition]:
        """Pulls."""
        paid = jax.random.uniform(key) < state.probability[action]
        state = state._replace(step=state.step + 1)
        return state, Transition(
            jax.nn.one_hot(paid.astype(jnp.int32), 2),
            plus_or_minus(paid) / self.num_pulls,
            terminated=jnp.zeros((), bool),
            truncated=state.step >= self.num_pulls,
        )
