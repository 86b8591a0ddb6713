"""The only rollout of the project: a policy acting on a batch of episodes, as one scan."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from icrl.envs.multi import Environments
from icrl.types import Key, PyTree, Timestep, Trajectory, any_row, keys_of_rows, split_keys


class Decision(NamedTuple):
    """What an agent does on one step of every row."""

    action: Shaped[Array, "B ..."]
    log_prob: Float[Array, " B"]
    """As in `Trajectory`."""
    value: Float[Array, " B"]
    extras: PyTree = ()
    """As in `Trajectory`: what is given here is kept for every step."""


@runtime_checkable
class Act(Protocol):
    """How an agent looks to the rollout, which knows nothing of its memory.

    ``memory, decision = act(memory, observation_BO, episode_start_B, key_B)``
    """

    def __call__(
        self, memory: PyTree, observation: Float[Array, "B O"], episode_start: Bool[Array, " B"], key: Key
    ) -> tuple[PyTree, Decision]:
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
    """The agent's before that step: the policy's state, and what else its learner carries."""


def rollout(
    act: Act, environments: Environments, carry: Carry, num_steps: int, *, key: Key
) -> tuple[Carry, Trajectory]:
    """Acts for ``num_steps`` env steps on every row; gives the new carry and the trajectory ``[T, B, ...]``.

    The value of a final observation is computed only where an episode was truncated, since only there it is needed.
    """

    def step(carry: Carry, keys: list[Key]) -> tuple[Carry, Trajectory]:
        act_key, environment_key = keys
        now = carry.timestep
        memory, decision = act(carry.memory, now.observation, now.episode_start, act_key)
        environment, after = environments.step(carry.environment, decision.action, key=environment_key)
        cut = after.episode_start & after.truncated
        bootstrap = jax.lax.cond(
            any_row(cut),
            lambda: jnp.where(cut, act(memory, after.final_observation, jnp.zeros_like(cut), act_key)[1].value, 0.0),
            lambda: jnp.zeros_like(decision.value),
        )
        return Carry(carry.row, environment, after, memory), Trajectory(
            observation=now.observation,
            episode_start=now.episode_start,
            action=decision.action,
            log_prob=decision.log_prob,
            value=decision.value,
            reward=after.reward,
            terminated=after.terminated,
            truncated=after.truncated,
            episode_end=after.episode_start,
            bootstrap=bootstrap,
            trial=after.trial,
            trial_return=after.trial_return,
            privileged=now.privileged,
            extras=decision.extras,
        )

    # Drawn for all steps at once: within the loop a CPU pays as much for a few keys as for many.
    keys = jax.vmap(lambda key: split_keys(keys_of_rows(key, carry.row)))(jax.random.split(key, num_steps))
    return jax.lax.scan(step, carry, keys)
