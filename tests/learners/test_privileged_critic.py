"""A critic that sees what is hidden: what it is shown, what it learns, and that the agent has nothing of it."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.environment import Environment
from icrl.envs.multi import Environments
from icrl.envs.spaces import Continuous
from icrl.envs.suites import TaskSetSpec
from icrl.envs.trial import Episodes
from icrl.learners.ppo import PPO, PPOSpec
from icrl.models import GRUSpec
from icrl.policy import PolicySpec
from icrl.spec.experiment_file import load_experiment
from icrl.types import Key, Transition
from tests.learners.probes import train
from tests.quick import jit


@dataclass(frozen=True)
class Coin(Environment):
    """Every step of an episode earns what a coin says that nobody sees, whatever is done."""

    tasks = ("coin",)
    observation_size = 1
    action_space = Continuous(1)
    hidden_size = 1

    def sample_task(self, index: jax.Array, *, key: Key) -> jax.Array:
        return jax.random.bernoulli(key).astype(jnp.float32)

    def hidden(self, task: jax.Array) -> jax.Array:
        return task[None]

    def reset(self, task: jax.Array, *, key: Key) -> tuple[jax.Array, jax.Array]:
        return jnp.zeros(()), jnp.zeros(1)

    def step(self, task: jax.Array, state: jax.Array, action: jax.Array, *, key: Key) -> tuple[jax.Array, Transition]:
        false = jnp.zeros((), bool)
        return state, Transition(jnp.zeros(1), task, false, false)


def on_the_coin(*, privileged: bool) -> PPO:
    """Rewards are not observed, so that nothing tells the agent."""
    episodes = Episodes(Coin(), 4, 1, observe_reward=False, privileged=privileged)
    environments = Environments((episodes,), 64)
    shown = environments.privileged_size if privileged else 0
    network = PolicySpec(encoder=(16,), heads=())
    policy = network.build(GRUSpec(width=8), environments.action_space, privileged_size=shown)
    spec = PPOSpec(rollout_steps=8, num_minibatches=2, learning_rate=0.02, discount=0.5, privileged_critic=privileged)
    return spec.build(policy, environments, num_updates=40)


def test_it_knows_what_an_agent_cannot():
    explained = {
        privileged: train(on_the_coin(privileged=privileged))[1]["explained_variance"][-5:].mean()
        for privileged in (False, True)
    }
    assert explained[True] > 0.9 and abs(explained[False]) < 0.1


def sequences(ppo: PPO, key: Key) -> Any:
    """Parameters, memory, and an observed sequence with what the critic is shown, ``[5, 3, ...]``."""
    memory = ppo.policy.initial_memory(3)
    observation = jax.random.normal(key, (5, 3, ppo.environments.observation_size))
    reset = jnp.zeros((5, 3), bool)
    shown = jax.random.normal(key, (5, 3, ppo.environments.privileged_size))
    params: Any = ppo.policy.init(key, memory, observation, reset)
    return params, memory, observation, reset, shown


def test_the_agent_acts_and_remembers_alike_whatever_the_critic_is_shown():
    ppo = on_the_coin(privileged=True)
    params, memory, observation, reset, shown = sequences(ppo, jax.random.key(0))
    blind = ppo.policy.run(params, memory, observation, reset)[1]
    for other in (shown, -shown):
        output = ppo.policy.run(params, memory, observation, reset, other)[1]
        assert output.privileged_value is not None and not np.allclose(output.privileged_value, output.value)
        jax.tree.map(np.testing.assert_array_equal, blind, output._replace(privileged_value=None))
    assert blind.privileged_value is None


def test_what_it_learns_moves_nothing_of_the_agent():
    ppo = on_the_coin(privileged=True)
    params, *given = sequences(ppo, jax.random.key(0))

    def judged(params: Any) -> jax.Array:
        output: Any = ppo.policy.apply(params, *given)
        return jnp.sum(output[1].privileged_value)

    gradients = jax.grad(judged)(params)
    moved = {name for name, leaves in gradients["params"].items() if any(np.any(x) for x in jax.tree.leaves(leaves))}
    assert moved == {"critic", "critic_0"}


@cache
def families() -> tuple[Environments, list[Any]]:
    """Six rows of three families on two bodies, in trials of 4 steps, and their states and timesteps of 5 steps."""
    spec = TaskSetSpec(train=("cartpole_place", "pendulum_hold", "pendulum_turn"), trial_steps=4, trials_per_episode=2)
    environments = spec.build(spec.train, 6, privileged=True)
    key, step = jax.random.key(0), jit(environments.step)
    played = [jit(environments.reset)(key=key)]
    for _ in range(4):
        played.append(step(played[-1][0], jnp.ones((6, 2)), key=jax.random.split(key, 6)))
    return environments, jax.tree.map(np.asarray, played)


@pytest.mark.parametrize("steps", [0, 3, 4])
def test_it_is_shown_the_unprojected_state_at_every_step_a_fresh_start_too(steps: int):
    environments, played = families()
    states, timestep = played[steps]
    shown = timestep.privileged
    assert shown.shape == (6, environments.privileged_size)
    np.testing.assert_array_equal(shown[:, :3], np.eye(3)[environments.row_task])
    first = 0
    for member, state in zip(environments.members, states, strict=True):
        projected: Any = member.environment
        for row in range(len(state.step)):
            size = projected.inner.observation_size
            x, rest = np.split(shown[first + row, 3:], [size])
            seen = state.task.observation_matrix[row] @ x
            np.testing.assert_allclose(seen, timestep.observation[first + row, :12], atol=1e-5)
            task = jax.tree.map(lambda leaf: leaf[row], state.task.inner)  # noqa: B023
            told = [projected.inner.hidden(task), state.task.action_matrix[row].ravel()]
            told = np.concatenate([*told, [steps % 4 / 4, steps // 4 / 2]])
            np.testing.assert_allclose(rest[: len(told)], told, atol=1e-6)
            assert not rest[len(told) :].any()
        first += len(state.step)


def test_training_has_it_and_evaluation_has_not():
    plain = load_experiment("brax_families", scale="smoke")
    spec = replace(plain, learner=replace(plain.learner, privileged_critic=True))
    learner = spec.build()
    assert all(member.privileged for member in learner.environments.members)
    assert learner.policy.privileged_size == learner.environments.privileged_size > 0
    alone = spec.environment.build(spec.environment.train, 2)
    assert not any(member.privileged for member in alone.members)
    assert plain.build().policy.privileged_size == 0
