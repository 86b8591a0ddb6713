"""The only rollout of the project: a policy acting on a batch of episodes, as one scan."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from icrl.envs.multi import Environments
from icrl.types import Key, PyTree, Timestep, Trajectory, keys_of_rows, split_keys


@runtime_checkable
class Act(Protocol):
    """How a policy looks to the rollout: memory and distribution parameters are opaque.

    ``memory, action_B, log_prob_B, value_B = act(memory, observation_BO, episode_start_B, key_B)``
    """

    def __call__(
        self, memory: PyTree, observation: Float[Array, "B O"], episode_start: Bool[Array, " B"], key: Key
    ) -> tuple[PyTree, Shaped[Array, "B ..."], Float[Array, " B"], Float[Array, " B"]]:
        """Acts on one step of every row."""
        ...


class Carry(NamedTuple):
    """What a rollout starts from and leaves behind."""

    row: Int[Array, " B"]
    """The rows' numbers, from which their keys are made."""
    environment: PyTree
    timestep: Timestep
    """The step to act on next."""
    memory: PyTree
    """The policy's state before that step."""


def rollout(
    act: Act, environments: Environments, carry: Carry, num_steps: int, *, key: Key
) -> tuple[Carry, Trajectory]:
    """Acts for ``num_steps`` env steps on every row; gives the new carry and the trajectory ``[T, B, ...]``.

    The value of a final observation is computed only where an episode was truncated, since only there it is needed.
    """

    def step(carry: Carry, keys: list[Key]) -> tuple[Carry, Trajectory]:
        act_key, environment_key = keys
        now = carry.timestep
        memory, action, log_prob, value = act(carry.memory, now.observation, now.episode_start, act_key)
        environment, after = environments.step(carry.environment, action, key=environment_key)
        cut = after.episode_start & after.truncated
        bootstrap = jax.lax.cond(
            jnp.any(cut),
            lambda: jnp.where(cut, act(memory, after.final_observation, jnp.zeros_like(cut), act_key)[3], 0.0),
            lambda: jnp.zeros_like(value),
        )
        return Carry(carry.row, environment, after, memory), Trajectory(
            observation=now.observation,
            episode_start=now.episode_start,
            action=action,
            log_prob=log_prob,
            value=value,
            reward=after.reward,
            terminated=after.terminated,
            truncated=after.truncated,
            episode_end=after.episode_start,
            bootstrap=bootstrap,
            trial=after.trial,
            trial_return=after.trial_return,
        )

    # Drawn for all steps at once: within the loop a CPU pays as much for a few keys as for many.
    keys = jax.vmap(lambda key: split_keys(keys_of_rows(key, carry.row)))(jax.random.split(key, num_steps))
    return jax.lax.scan(step, carry, keys)
