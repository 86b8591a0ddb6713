"""Many environments in one batch: rows, tasks and actions find each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.multi import Environments
from icrl.envs.spaces import Continuous
from icrl.envs.trial import Episodes
from icrl.errors import UserError
from tests.envs.counting import Counting
from tests.quick import jit

NUM_ROWS = 6
MEMBERS = (
    Episodes(Counting(tasks=("endless", "ends_at_1"), terminates_at=(0, 1)), trial_steps=3, trials_per_episode=2),
    Episodes(Counting(tasks=("ends_at_2",), terminates_at=(2,)), trial_steps=3, trials_per_episode=2),
)
ENVIRONMENTS = Environments(MEMBERS, NUM_ROWS)


def test_every_task_has_the_same_number_of_rows():
    assert ENVIRONMENTS.tasks == ("endless", "ends_at_1", "ends_at_2")
    np.testing.assert_array_equal(ENVIRONMENTS.row_task, [0, 0, 1, 1, 2, 2])


def test_sizes_are_those_of_the_members():
    assert ENVIRONMENTS.observation_size == MEMBERS[0].observation_size == 4 + 3 + 1
    assert ENVIRONMENTS.action_space == Continuous(1)
    assert ENVIRONMENTS.trials_per_episode == 2
    assert ENVIRONMENTS.episode_steps == 6


def test_rows_run_their_own_task_with_their_own_action_for_good():
    actions = jnp.linspace(-0.9, 0.9, NUM_ROWS)

    @jit
    def run(key):
        reset_key, step_key = jax.random.split(key)
        states, first = ENVIRONMENTS.reset(key=reset_key)

        def step(states, key):
            return ENVIRONMENTS.step(states, actions[:, None], key=jax.random.split(key, NUM_ROWS))

        states, later = jax.lax.scan(step, states, jax.random.split(step_key, 12))
        return states, first, later

    states, first, later = run(jax.random.key(0))
    assert first.observation.shape == (NUM_ROWS, ENVIRONMENTS.observation_size)
    ends = np.asarray(later.terminated | later.truncated)
    for rows, period in ((slice(0, 2), 3), (slice(2, 4), 1), (slice(4, 6), 2)):
        np.testing.assert_array_equal(np.flatnonzero(ends[:, rows].all(1)), np.arange(period - 1, 12, period))
        assert not later.truncated[:, rows].any() or period == 3
    np.testing.assert_array_equal(ends.sum(0), [4, 4, 12, 12, 6, 6])
    np.testing.assert_array_equal(later.final_observation[..., 3], np.tile(actions, (12, 1)))
    np.testing.assert_array_equal(np.concatenate([state.task_index for state in states]), [0, 0, 1, 1, 0, 0])
    # Rows of one task still draw tasks of their own.
    assert len(np.unique(first.observation[:, 0])) == NUM_ROWS


@pytest.mark.parametrize("num_rows", [0, 4, 7])
def test_rows_that_cannot_be_shared_out_equally_are_refused(num_rows: int):
    with pytest.raises(UserError) as error:
        Environments(MEMBERS, num_rows)
    assert str(error.value) == (
        f"rows: got {num_rows}; expected a multiple of the 3 tasks (endless, ends_at_1, ends_at_2), "
        "so that every task has the same number of rows"
    )


def test_members_that_do_not_fit_together_are_a_bug():
    wider = Episodes(Counting(action_space=Continuous(2)), trial_steps=3, trials_per_episode=2)
    with pytest.raises(AssertionError):
        Environments((MEMBERS[0], wider), NUM_ROWS)
