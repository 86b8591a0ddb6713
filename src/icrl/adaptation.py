"""How agents adapt in context: return by task, trial and step, without a gradient step."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from icrl.envs.multi import Environments
from icrl.envs.spaces import Continuous
from icrl.policy import Policy
from icrl.rollout import Carry, rollout
from icrl.types import Key, PyTree

Actor = Literal["agent", "random", "do_nothing"]
ACTORS: tuple[Actor, ...] = ("agent", "random", "do_nothing")


class Adaptation(NamedTuple):
    """One episode of every row; rows are bound to tasks as in the environments measured."""

    returns: jax.Array  # [B, N] return of each of the episode's N trials
    reward: jax.Array  # [T, B] reward by step in context; 0 after the episode's end


def measure(
    policy: Policy, environments: Environments, params: PyTree, actor: jax.Array, *, sample: bool, key: Key
) -> Adaptation:
    """Plays one episode on every row.

    Args:
        policy: the agent's network.
        environments: what to play; each row plays one whole episode.
        params: the agent's parameters.
        actor: index into `ACTORS`, as data, so that one compiled program also measures the random policy (uniform on
            [-1, 1], or on all choices) and the one that does nothing (zeros, or choice 0).
        sample: draw the agent's actions, as in training, instead of taking the likeliest.
        key: determines tasks, projections, starts and actions.
    """
    space = environments.action_space
    shape = (environments.num_rows, space.size) if isinstance(space, Continuous) else (environments.num_rows,)

    def act(memory, observation, episode_start, key):
        agent_key, random_key = jax.random.split(key)
        memory, distribution, value = policy.run(params, memory, observation[None], episode_start[None])
        action = (distribution.sample(key=agent_key) if sample else distribution.mode())[0]
        if isinstance(space, Continuous):
            random = jax.random.uniform(random_key, shape, minval=-1.0, maxval=1.0)
        else:
            random = jax.random.randint(random_key, shape, 0, space.size)
        action = jnp.select([actor == 0, actor == 1], [action, random], jnp.zeros_like(action))
        return memory, action, jnp.zeros(environments.num_rows), value[0]

    reset_key, rollout_key = jax.random.split(key)
    environment, timestep = environments.reset(key=reset_key)
    start = Carry(environment, timestep, policy.initial_memory(environments.num_rows))
    _, steps = rollout(act, environments, start, environments.episode_steps, key=rollout_key)

    first_episode_TB = jnp.cumsum(steps.episode_end, axis=0) - steps.episode_end == 0
    ended_TB = (steps.terminated | steps.truncated) & first_episode_TB
    in_trial_TBN = jax.nn.one_hot(steps.trial, environments.trials_per_episode) * ended_TB[..., None]
    returns_BN = jnp.einsum("tb,tbn->bn", steps.trial_return, in_trial_TBN)
    return Adaptation(returns_BN, jnp.where(first_episode_TB, steps.reward, 0.0))
