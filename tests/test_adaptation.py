"""What is measured of adaptation, in environments where every number is known."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.adaptation import ACTORS, Adaptation, measure
from icrl.envs.environment import Environment
from icrl.envs.multi import Environments
from icrl.envs.projection import Projected
from icrl.envs.spaces import Continuous, Discrete, Space
from icrl.envs.trial import Episodes
from icrl.models import MLPSpec
from icrl.policy import PolicySpec
from icrl.types import Key, Transition
from tests.envs.counting import Count, Counting, DrawnTask
from tests.quick import jit


@dataclass(frozen=True)
class Telling(Counting):
    """Rewards with the draws of task and start, whatever is done."""

    def step(self, task: DrawnTask, state: Count, action: jax.Array, *, key: Key) -> tuple[Count, Transition]:
        state, transition = super().step(task, state, action, key=key)
        return state, transition._replace(reward=10 * task.draw + state.start)


@dataclass(frozen=True)
class Echoing(Counting):
    """Rewards with the action itself."""

    def step(self, task: DrawnTask, state: Count, action: jax.Array, *, key: Key) -> tuple[Count, Transition]:
        state, transition = super().step(task, state, action, key=key)
        return state, transition._replace(reward=jnp.sum(action).astype(jnp.float32))


def played(
    environment: Environment,
    *actors: str,
    trial_steps: int = 3,
    trials: int = 2,
    num_rows: int = 4,
    sample: bool = True,
    watch: bool = False,
    seed: int = 0,
) -> list[Adaptation]:
    """What each of the actors earns, with an untrained agent."""
    environments = Environments((Episodes(environment, trial_steps, trials),), num_rows)
    policy = PolicySpec(encoder=(), heads=()).build(MLPSpec(width=4, num_layers=1), environments.action_space)
    observation = jnp.zeros((1, num_rows, environments.observation_size))
    params = policy.init(jax.random.PRNGKey(1), (), observation, jnp.zeros((1, num_rows), bool))
    play = jit(partial(measure, policy, environments, sample=sample, watch=watch))
    key = jax.random.PRNGKey(seed)
    return [jax.device_get(play(params, jnp.int32(ACTORS.index(actor)), key=key)) for actor in actors]


def test_all_actors_meet_the_same_tasks_and_starts():
    agent, random, nothing = played(Telling(), "agent", "random", "do_nothing")
    np.testing.assert_array_equal(agent.reward, random.reward)
    np.testing.assert_array_equal(agent.reward, nothing.reward)
    assert len(np.unique(agent.returns)) == agent.returns.size  # rows draw tasks of their own, trials draw starts


def test_who_watches_is_told_what_was_drawn_and_what_the_heads_were_given_and_changes_nothing():
    projected = Projected(Telling(terminates_at=(2,)), 5, 1, (("gaussian", "gaussian"),))
    (found,), (unwatched,) = (played(projected, "agent", trial_steps=4, watch=watch) for watch in (True, False))
    np.testing.assert_array_equal(found.returns, unwatched.returns)
    assert unwatched.watched is None and found.watched is not None
    ((rows, drawn),) = found.watched.drawn
    assert {name: numbers.shape[1] for name, numbers in drawn.items()} == {
        "draw": 1,
        "observation_matrix": 5 * projected.inner.observation_size,
        "action_matrix": projected.inner.action_space.size,
    }
    np.testing.assert_array_equal(rows, np.arange(4))
    start = found.reward[:2].mean(axis=0) - 10 * drawn["draw"][:, 0]  # what else the first trial's rewards are made of
    assert np.all((start >= 0) & (start <= 1))
    assert len(np.unique(drawn["draw"])) == len(np.unique(drawn["observation_matrix"][:, 0])) == 4
    np.testing.assert_array_equal(found.watched.playing[:, 0], [True] * 4 + [False] * 4)  # two trials of two steps
    assert found.watched.features.shape == (8, 4, 4)


def test_another_key_draws_other_tasks():
    (one,), (other,) = (played(Telling(), "do_nothing", seed=seed) for seed in (0, 1))
    assert not np.intersect1d(one.returns, other.returns).size


def test_a_trial_that_the_time_limit_ends_returns_the_sum_of_its_rewards():
    (found,) = played(Counting(), "agent")
    np.testing.assert_array_equal(found.returns, np.full((4, 2), 1 + 2 + 3))
    np.testing.assert_array_equal(found.reward, np.tile([[1], [2], [3], [1], [2], [3]], 4))


def test_after_the_end_of_an_episode_nothing_counts():
    (found,) = played(Counting(terminates_at=(2,)), "agent", trial_steps=4)
    np.testing.assert_array_equal(found.returns, np.full((4, 2), 1 + 2))
    np.testing.assert_array_equal(found.reward, np.tile([[1], [2], [1], [2], [0], [0], [0], [0]], 4))


def test_tasks_of_other_lengths_are_measured_side_by_side():
    (found,) = played(Counting(tasks=("short", "long"), terminates_at=(1, 0)), "agent")
    np.testing.assert_array_equal(found.returns, [[1, 1], [1, 1], [6, 6], [6, 6]])


def test_doing_nothing_is_the_action_zero_and_chance_is_uniform():
    random, nothing = played(Echoing(), "random", "do_nothing", num_rows=256)
    assert (nothing.reward == 0).all()
    assert (np.abs(random.reward) <= 1).all()
    quartiles = np.quantile(random.reward, [0.25, 0.5, 0.75])  # of 1536 draws: a standard error of 0.03
    np.testing.assert_allclose(quartiles, [-0.5, 0, 0.5], atol=0.12)


def test_discrete_actors_choose_the_first_or_any():
    random, nothing = played(Echoing(action_space=Discrete(3)), "random", "do_nothing", num_rows=64)
    assert (nothing.reward == 0).all()
    values, counts = np.unique(random.reward, return_counts=True)
    assert values.tolist() == [0, 1, 2]
    np.testing.assert_allclose(counts / counts.sum(), 1 / 3, atol=0.1)  # of 384 draws: a standard error of 0.024


@pytest.mark.parametrize("space", [Continuous(1), Discrete(3)])
def test_the_agent_draws_its_actions_or_takes_the_likeliest(space: Space):
    environment = Echoing(action_space=space)
    (drawn,), (again,) = (played(environment, "agent", seed=seed) for seed in (0, 1))
    assert not np.array_equal(drawn.reward, again.reward)
    (likeliest,) = played(environment, "agent", sample=False)
    assert np.unique(np.round(likeliest.reward)).size == 1  # an untrained mode hardly depends on what it sees
