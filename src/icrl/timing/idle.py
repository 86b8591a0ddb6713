"""An environment that costs next to nothing, so that an update's time is the agent's."""

import jax
import jax.numpy as jnp

from icrl.envs.environment import Environment
from icrl.envs.multi import Environments
from icrl.envs.spaces import Continuous
from icrl.envs.trial import Episodes
from icrl.types import Key, PyTree, Transition


class Idle(Environment):
    """Its observation counts the steps, its reward is the action's first coordinate, and no trial ends by itself."""

    tasks = ("idle",)
    observation_size = 12
    action_space = Continuous(2)

    def sample_task(self, index: jax.Array, *, key: Key) -> PyTree:
        """Nothing to draw."""
        del index, key
        return ()

    def reset(self, task: PyTree, *, key: Key) -> tuple[PyTree, jax.Array]:
        """Starts counting at zero."""
        del task, key
        return jnp.float32(0), jnp.zeros(self.observation_size)

    def step(self, task: PyTree, state: PyTree, action: jax.Array, *, key: Key) -> tuple[PyTree, Transition]:
        """Counts."""
        del task, key
        observation = jnp.full(self.observation_size, jnp.sin(state))
        false = jnp.zeros((), bool)
        return state + 1, Transition(observation, jnp.clip(action[0], -1.0, 1.0), false, false)


def idle_environments(rows: int, trial_steps: int = 64, trials_per_episode: int = 4) -> Environments:
    """A batch of it, with resets as in training."""
    return Environments((Episodes(Idle(), trial_steps, trials_per_episode, stagger=True),), rows)
