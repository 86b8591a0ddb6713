"""The rollout, with a policy whose memory, actions and values can be counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.multi import Environments
from icrl.envs.trial import Episodes
from icrl.rollout import Carry, Decision, rollout
from icrl.types import Trajectory
from tests.envs.counting import Counting
from tests.quick import jit

ROWS = ("endless", "ends_at_2", "ends_at_3")
EPISODES = Episodes(Counting(tasks=ROWS, terminates_at=(0, 2, 3)), trial_steps=3, trials_per_episode=2)
ENVIRONMENTS = Environments((EPISODES,), num_rows=len(ROWS))
NUM_STEPS = 7
COUNT = 2  # where Counting observes the steps of the trial


def act(memory, observation, episode_start, key):
    """Counts the steps it saw of this episode: memory, action; values them with the trial's count beside them."""
    del key
    memory = jnp.where(episode_start, 0, memory) + 1
    value = value_of(memory, observation[:, COUNT])
    return memory, Decision(0.1 * memory[:, None], -memory, value, {"seen": memory})


def value_of(memory, count):
    return 100.0 * memory + count


@pytest.fixture(scope="module")
def halves() -> list[tuple[Carry, Trajectory]]:
    """Two rollouts of 7 steps, the second where the first ended: it starts inside an episode."""

    @jit
    def run(key):
        reset_key, *keys = jax.random.split(key, 3)
        state, timestep = ENVIRONMENTS.reset(key=reset_key)
        carry, done = Carry(jnp.arange(len(ROWS)), state, timestep, jnp.zeros(len(ROWS))), []
        for rollout_key in keys:
            carry, trajectory = rollout(act, ENVIRONMENTS, carry, NUM_STEPS, key=rollout_key)
            done.append((carry, trajectory))
        return done

    return run(jax.random.key(0))


@pytest.fixture(scope="module")
def steps(halves: list[tuple[Carry, Trajectory]]) -> Trajectory:
    """All 14 steps."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *(trajectory for _, trajectory in halves))


def test_memory_is_cleared_at_episode_starts_and_lasts_across_trials_and_rollouts(steps: Trajectory):
    seen = -steps.log_prob
    np.testing.assert_array_equal(seen[:, 0], [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1, 2])
    np.testing.assert_array_equal(seen[:, 1], [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2])
    np.testing.assert_array_equal(seen[:, 2], seen[:, 0])


def test_observation_action_and_value_of_a_step_belong_together(steps: Trajectory):
    seen, count = -steps.log_prob, steps.observation[..., COUNT]
    np.testing.assert_array_equal(count[:, 0], [0, 1, 2] * 4 + [0, 1])
    np.testing.assert_array_equal(steps.value, value_of(seen, count))
    np.testing.assert_allclose(steps.action[..., 0], 0.1 * seen, rtol=1e-6)
    np.testing.assert_array_equal(steps.extras["seen"], seen)


def test_the_consequences_of_an_action_stand_beside_it(steps: Trajectory):
    np.testing.assert_array_equal(steps.reward, steps.observation[..., COUNT] + 1)
    np.testing.assert_array_equal(np.flatnonzero(steps.truncated[:, 0]), [2, 5, 8, 11])
    np.testing.assert_array_equal(np.flatnonzero(steps.terminated[:, 1]), [1, 3, 5, 7, 9, 11, 13])
    np.testing.assert_array_equal(np.flatnonzero(steps.terminated[:, 2]), [2, 5, 8, 11])
    np.testing.assert_array_equal(steps.trial[:, 0], [0, 0, 0, 1, 1, 1] * 2 + [0, 0])
    np.testing.assert_array_equal(steps.trial_return[:, 0], [1, 3, 6] * 4 + [1, 3])
    np.testing.assert_array_equal(steps.episode_end[:-1], steps.episode_start[1:])
    assert steps.episode_start[0].all()


def test_bootstrap_is_the_value_of_the_final_observation_at_truncated_episode_ends_alone(steps: Trajectory):
    # Row 0 is truncated at steps 5 and 11, with 6 steps in memory; the final observation is the seventh, its count 3.
    # The truncations at 2 and 8 end trials, not episodes; the other rows terminate.
    expected = np.zeros((2 * NUM_STEPS, len(ROWS)))
    expected[[5, 11], 0] = value_of(7, 3)
    np.testing.assert_array_equal(steps.bootstrap, expected)


def test_the_carry_is_where_the_next_rollout_starts(halves: list[tuple[Carry, Trajectory]]):
    (carry, _), (_, second) = halves
    np.testing.assert_array_equal(carry.timestep.observation, second.observation[0])
    np.testing.assert_array_equal(carry.timestep.episode_start, second.episode_start[0])
    np.testing.assert_array_equal(carry.memory, [1, 3, 1])


def test_an_action_may_be_the_last_of_its_episode_and_of_the_rollout():
    """The bootstrap then cannot come from the next step: there is none."""

    @jit
    def run(key):
        state, timestep = ENVIRONMENTS.reset(key=key)
        return rollout(
            act, ENVIRONMENTS, Carry(jnp.arange(len(ROWS)), state, timestep, jnp.zeros(len(ROWS))), 6, key=key
        )

    _, trajectory = run(jax.random.key(0))
    np.testing.assert_array_equal(trajectory.episode_end[-1], [True, False, True])
    np.testing.assert_array_equal(trajectory.bootstrap[-1], [value_of(7, 3), 0, 0])
