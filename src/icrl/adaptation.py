"""How agents adapt in context: return by task, trial and step, without a gradient step."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from icrl.distributions import sample_rows
from icrl.envs.multi import Environments
from icrl.policy import Policy
from icrl.probe import Watched
from icrl.rollout import Carry, Decision, rollout
from icrl.types import Key, PyTree, split_keys

Actor = Literal["agent", "random", "do_nothing"]
ACTORS: tuple[Actor, ...] = ("agent", "random", "do_nothing")


class Adaptation(NamedTuple):
    """One episode of every row; rows are bound to tasks as in the environments measured."""

    returns: Float[Array, "B N"]
    """Return of each of the episode's N trials."""
    reward: Float[Array, "T B"]
    """Reward by step in context; 0 after the episode's end."""
    watched: Watched | None = None
    """What a probe needs, if asked for."""


def measure(
    policy: Policy,
    environments: Environments,
    params: PyTree,
    actor: Int[Array, ""],
    *,
    sample: bool,
    watch: bool = False,
    key: Key,
) -> Adaptation:
    """Plays one episode on every row.

    Args:
        policy: the agent's network.
        environments: what to play; each row plays one whole episode.
        params: the agent's parameters.
        actor: index into `ACTORS`, as data, so that one compiled program also measures the random policy (uniform on
            [-1, 1], or on all choices) and the one that does nothing (zeros, or choice 0).
        sample: draw the agent's actions, as in training, instead of taking the likeliest.
        watch: also give what a probe needs.
        key: determines tasks, projections, starts and actions.
    """

    def random_action(key):
        return environments.action_space.sample(key=key)

    def act(memory, observation, episode_start, key):
        agent_key, random_key = split_keys(key)
        memory, output = policy.act(params, memory, observation, episode_start)
        action = sample_rows(output.distribution, key=agent_key) if sample else output.distribution.mode()
        action = jnp.select(
            [actor == 0, actor == 1], [action, jax.vmap(random_action)(random_key)], jnp.zeros_like(action)
        )
        return memory, Decision(action, jnp.zeros_like(output.value), output.value, output.features if watch else ())

    reset_key, rollout_key = jax.random.split(key)
    environment, timestep = environments.reset(key=reset_key)
    num_rows = environments.num_rows
    start = Carry(jnp.arange(num_rows), environment, timestep, policy.initial_memory(num_rows))
    _, steps = rollout(act, environments, start, environments.episode_steps, key=rollout_key)

    first_episode_TB = jnp.cumsum(steps.episode_end, axis=0) - steps.episode_end == 0
    ended_TB = (steps.terminated | steps.truncated) & first_episode_TB
    in_trial_TBN = jax.nn.one_hot(steps.trial, environments.trials_per_episode) * ended_TB[..., None]
    returns_BN = jnp.einsum("tb,tbn->bn", steps.trial_return, in_trial_TBN)
    adaptation = Adaptation(returns_BN, jnp.where(first_episode_TB, steps.reward, 0.0))
    if not watch:
        return adaptation
    rows = jnp.split(start.row, np.cumsum([len(state.step) for state in environment])[:-1])
    drawn = [(own, _numbers(state.task)) for own, state in zip(rows, environment, strict=True)]
    return adaptation._replace(watched=Watched(steps.extras, first_episode_TB, drawn))


def _numbers(task: PyTree) -> dict[str, Float[Array, "B n"]]:
    """All real numbers of tasks drawn for B rows, by their names within the task."""
    leaves, _ = jax.tree.flatten_with_path(task)
    named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
    return {
        name.replace("inner.", "") or "parameters": leaf.reshape(len(leaf), -1)
        for name, leaf in named.items()
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    }
