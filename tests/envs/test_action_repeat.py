"""Holding an action: k steps count as one, and none is taken past a trial's end."""

import jax
import jax.numpy as jnp
import pytest

from icrl.envs.action_repeat import ActionRepeat
from icrl.envs.projection import Projected
from icrl.envs.suites import TaskSetSpec
from icrl.errors import SpecError
from tests.envs.counting import Counting

KEY = jax.random.key(0)


def play(environment: Counting, times: int, num_steps: int, action: float = 0.5):
    """The state and transition after some env steps, without resets."""
    repeated = ActionRepeat(environment, times)
    task = repeated.sample_task(jnp.int32(0), key=KEY)
    state, _ = repeated.reset(task, key=KEY)
    for _ in range(num_steps - 1):
        state, _ = repeated.step(task, state, jnp.array([action]), key=KEY)
    return repeated.step(task, state, jnp.array([action]), key=KEY)


def test_one_env_step_takes_the_action_several_times_and_gives_the_mean_reward():
    state, transition = play(Counting(), times=3, num_steps=2)
    assert state.steps == transition.observation[2] == 6
    assert transition.observation[3] == 0.5
    assert transition.reward == pytest.approx((4 + 5 + 6) / 3)
    assert not transition.terminated and not transition.truncated


def test_a_trial_that_ends_within_an_env_step_ends_there():
    for ending, flag in ((Counting(terminates_at=(2,)), "terminated"), (Counting(truncates_at=2), "truncated")):
        state, transition = play(ending, times=5, num_steps=1)
        assert state.steps == transition.observation[2] == 2
        assert transition.reward == pytest.approx((1 + 2) / 5)
        assert transition.terminated == (flag == "terminated")
        assert transition.truncated == (flag == "truncated")


def test_a_task_set_repeats_actions_beneath_its_projections():
    spec = TaskSetSpec(train=("cartpole_balance",), action_repeat=4)
    (member,) = spec.build(spec.train, 1).members
    projected = member.environment
    assert isinstance(projected, Projected) and isinstance(projected.inner, ActionRepeat)
    assert projected.inner.times == 4
    assert (member.tasks, projected.inner.observation_size) == (("cartpole_balance",), 5)
    with pytest.raises(SpecError, match="action_repeat: got 0; expected at least 1"):
        TaskSetSpec(train=("cartpole_balance",), action_repeat=0)
