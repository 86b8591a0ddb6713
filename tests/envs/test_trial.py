"""Episodes of trials: flags, limits, resets and observations, counted by hand."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.spaces import Discrete
from icrl.envs.trial import Episodes
from icrl.types import Timestep
from tests.envs.counting import Counting
from tests.quick import jit

ROWS = ("endless", "ends_at_2", "ends_at_3")
EPISODES = Episodes(
    Counting(tasks=ROWS, terminates_at=(0, 2, 3)), trial_steps=3, trials_per_episode=2, observe_action=True
)
"""Three rows, one per task: stopped by the limit; ended before it; ended on the very step of the limit."""
NUM_STEPS = 12
ACTION = 0.25


def play(episodes: Episodes, num_rows: int, action: Callable[[int], jax.Array]) -> tuple[Timestep, jax.Array]:
    """Timesteps ``[1 + NUM_STEPS, B, ...]``, the reset's first, and the row's task indices after each step."""

    @jit
    def run(key):
        reset_key, *step_keys = jax.random.split(key, 1 + NUM_STEPS)
        state, first = episodes.reset(jnp.arange(num_rows), key=jax.random.split(reset_key, num_rows))

        def step(state, inputs):
            t, key = inputs
            state, timestep = episodes.step(state, action(t), key=jax.random.split(key, num_rows))
            return state, (timestep, state.task_index)

        _, (later, index) = jax.lax.scan(step, state, (jnp.arange(NUM_STEPS), jnp.stack(step_keys)))
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, later), index

    return jax.tree.map(np.asarray, run(jax.random.key(0)))


@pytest.fixture(scope="module")
def played() -> tuple[Timestep, np.ndarray]:
    return play(EPISODES, len(ROWS), lambda t: jnp.full((len(ROWS), 1), ACTION * (t + 1)))


@pytest.fixture(scope="module")
def timesteps(played: tuple[Timestep, np.ndarray]) -> Timestep:
    return played[0]


def steps(*numbers: int) -> np.ndarray:
    """True at these of the steps 0 (the reset) to NUM_STEPS."""
    return np.isin(np.arange(NUM_STEPS + 1), numbers)


def expected(*rows: np.ndarray) -> np.ndarray:
    return np.stack(rows, axis=1)


def test_trials_end_by_themselves_or_by_the_limit_never_both(timesteps: Timestep):
    np.testing.assert_array_equal(
        timesteps.terminated, expected(steps(), steps(2, 4, 6, 8, 10, 12), steps(3, 6, 9, 12))
    )
    np.testing.assert_array_equal(timesteps.truncated, expected(steps(3, 6, 9, 12), steps(), steps()))


def test_start_flags_stand_on_the_first_step_of_trials_and_episodes(timesteps: Timestep):
    np.testing.assert_array_equal(
        timesteps.trial_start,
        expected(steps(0, 3, 6, 9, 12), steps(0, 2, 4, 6, 8, 10, 12), steps(0, 3, 6, 9, 12)),
    )
    np.testing.assert_array_equal(
        timesteps.episode_start, expected(steps(0, 6, 12), steps(0, 4, 8, 12), steps(0, 6, 12))
    )


def test_rewards_and_returns_belong_to_the_trial_that_earned_them(timesteps: Timestep):
    # Step k of a trial earns k; the return includes it, and index and return still are the old trial's at its end.
    np.testing.assert_array_equal(timesteps.reward[:, 0], [0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3])
    np.testing.assert_array_equal(timesteps.trial_return[:, 0], [0, 1, 3, 6, 1, 3, 6, 1, 3, 6, 1, 3, 6])
    np.testing.assert_array_equal(timesteps.trial[:, 0], [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(timesteps.reward[:, 1], [0, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2])
    np.testing.assert_array_equal(timesteps.trial_return[:, 1], [0, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3])
    np.testing.assert_array_equal(timesteps.trial[:, 1], [0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1])


def test_the_task_is_constant_within_an_episode_and_redrawn_at_its_end(timesteps: Timestep):
    draw = timesteps.observation[..., 0]
    same = draw[1:] == draw[:-1]
    np.testing.assert_array_equal(same, ~timesteps.episode_start[1:])
    assert len(np.unique(draw)) == timesteps.episode_start.sum()


def test_every_trial_starts_from_a_draw_of_its_own(timesteps: Timestep):
    start = timesteps.observation[..., 1]
    np.testing.assert_array_equal(start[1:] == start[:-1], ~timesteps.trial_start[1:])
    assert len(np.unique(start)) == timesteps.trial_start.sum()


def test_the_observation_is_the_new_trials_and_the_final_observation_the_old_ones(timesteps: Timestep):
    count, final_count = timesteps.observation[:, 0, 2], timesteps.final_observation[:, 0, 2]
    np.testing.assert_array_equal(count, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(final_count, [0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3])
    np.testing.assert_array_equal(timesteps.final_observation[1:, :, :2], timesteps.observation[:-1, :, :2])


def test_observations_append_previous_reward_flags_and_previous_action(timesteps: Timestep):
    assert EPISODES.observation_size == timesteps.observation.shape[-1] == 4 + 3 + 1
    reward, trial_start, episode_start, action = np.moveaxis(timesteps.observation[..., 4:], -1, 0)
    # Reward and action survive a trial's start and are cleared at an episode's.
    taken = ACTION * np.arange(NUM_STEPS + 1)[:, None]
    np.testing.assert_array_equal(reward, np.where(timesteps.episode_start, 0, timesteps.reward))
    np.testing.assert_allclose(action, np.where(timesteps.episode_start, 0, taken.clip(-3, 3)))
    np.testing.assert_array_equal(trial_start, timesteps.trial_start)
    np.testing.assert_array_equal(episode_start, timesteps.episode_start)
    # What would have been seen had the trial gone on: both, and no flag.
    final = timesteps.final_observation[1:, :, 4:]
    np.testing.assert_array_equal(final[..., 0], timesteps.reward[1:])
    np.testing.assert_array_equal(final[..., 1:3], 0)
    np.testing.assert_allclose(final[..., 3], np.broadcast_to(taken[1:].clip(-3, 3), final.shape[:2]))


def test_the_environment_receives_the_action_clipped_by_itself_alone(timesteps: Timestep):
    received = timesteps.final_observation[1:, 0, 3]
    np.testing.assert_allclose(received, np.clip(ACTION * np.arange(1, NUM_STEPS + 1), -1, 1))


def test_rows_stay_bound_to_their_tasks(played: tuple[Timestep, np.ndarray]):
    np.testing.assert_array_equal(played[1], np.tile(np.arange(len(ROWS)), (NUM_STEPS, 1)))


def test_every_leaf_has_its_documented_dtype(timesteps: Timestep):
    assert timesteps.privileged == ()
    dtypes = {name: leaf.dtype.name for name, leaf in timesteps._asdict().items() if name != "privileged"}
    flags = dict.fromkeys(("episode_start", "trial_start", "terminated", "truncated"), "bool")
    floats = dict.fromkeys(("observation", "reward", "final_observation", "trial_return"), "float32")
    assert dtypes == {**flags, **floats, "trial": "int32"}


@pytest.fixture(scope="module")
def discrete() -> Timestep:
    """An environment with three actions that stops its trials at step 4, under a limit of 9."""
    episodes = Episodes(Counting(action_space=Discrete(3), truncates_at=4), trial_steps=9, trials_per_episode=1)
    return play(episodes, 1, lambda t: jnp.array([t % 3]))[0]


def test_an_environment_may_stop_a_trial_before_the_limit(discrete: Timestep):
    np.testing.assert_array_equal(discrete.truncated[:, 0], steps(4, 8, 12))
    np.testing.assert_array_equal(discrete.episode_start[:, 0], steps(0, 4, 8, 12))
    assert not discrete.terminated.any()


def test_discrete_actions_are_observed_one_hot(discrete: Timestep):
    seen = discrete.observation[:, 0, -3:]
    np.testing.assert_array_equal(seen[[0, 4, 8]], 0)
    np.testing.assert_array_equal(seen[[1, 2, 3, 5]], np.eye(3)[[0, 1, 2, 1]])


def test_the_previous_action_can_be_left_out():
    episodes = Episodes(Counting(), trial_steps=9, trials_per_episode=1, observe_action=False)
    _, first = jax.eval_shape(lambda: episodes.reset(jnp.zeros(2, jnp.int32), key=jax.random.split(jax.random.key(0))))
    assert episodes.observation_size == 4 + 3
    assert first.observation.shape == (2, 4 + 3)


def test_the_previous_reward_can_be_left_out():
    counting = Counting(tasks=("task",), terminates_at=(3,))
    with_reward, without = (
        Episodes(counting, trial_steps=9, trials_per_episode=2, observe_reward=observe) for observe in (True, False)
    )
    assert with_reward.observation_size == without.observation_size + 1

    def seen(episodes):
        state, _ = episodes.reset(jnp.zeros(1, jnp.int32), key=jax.random.split(jax.random.key(0), 1))
        return episodes.step(state, jnp.ones((1, 1)), key=jax.random.split(jax.random.key(1), 1))[1].observation[0]

    full, rest = jit(lambda: (seen(with_reward), seen(without)))()
    assert full[4] == 1  # the reward of a trial's first step
    np.testing.assert_array_equal(rest, np.delete(full, 4))


@pytest.fixture(scope="module")
def changes(timesteps: Timestep) -> Timestep:
    """The same steps, with the change of the observation beside it."""
    episodes = replace(EPISODES, observe_previous=True)
    assert episodes.observation_size == EPISODES.observation_size + 4
    return play(episodes, len(ROWS), lambda t: jnp.full((len(ROWS), 1), ACTION * (t + 1)))[0]


def test_the_change_of_the_observation_is_zero_at_a_trials_start(changes: Timestep):
    assert changes.observation.shape[-1] == 4 + 4 + 3 + 1
    change = changes.observation[..., 4:8]
    assert not change[changes.trial_start].any()
    # Within a trial its task and start stay, a step more is counted, and actions grow up to 1, where they are clipped;
    # the first is seen against the 0 of the trial's start. Trials of rows 0 and 2 start at 0, 3, 6, ...
    assert not change[..., :2].any()
    np.testing.assert_array_equal(change[..., 2], ~changes.trial_start)
    for row in (0, 2):
        np.testing.assert_allclose(change[:6, row, 3], [0, 0.25, 0.25, 0, 1, 0])
    np.testing.assert_allclose(change[:6, 1, 3], [0, 0.25, 0, 0.75, 0, 1])


def test_the_final_observation_changes_from_the_last_of_its_own_trial(changes: Timestep):
    change = changes.final_observation[..., 4:8]
    assert not change[..., :2].any()  # neither a new task's draw nor a new trial's start
    np.testing.assert_array_equal(change[:, 0, 2], np.arange(NUM_STEPS + 1) > 0)
    for row in (0, 2):
        np.testing.assert_allclose(change[:7, row, 3], [0, 0.25, 0.25, 0.25, 1, 0, 0])
    np.testing.assert_allclose(change[:5, 1, 3], [0, 0.25, 0.25, 0.75, 0.25])


def test_the_change_of_the_observation_leaves_all_else_as_it_is(timesteps: Timestep, changes: Timestep):
    def without_change(observation: jax.Array | np.ndarray) -> np.ndarray:
        return np.delete(observation, range(4, 8), axis=-1)

    rest = changes._replace(
        observation=without_change(changes.observation), final_observation=without_change(changes.final_observation)
    )
    jax.tree.map(np.testing.assert_array_equal, rest, timesteps)


def test_staggered_rows_start_in_different_trials_of_their_first_episode():
    episodes = Episodes(Counting(), trial_steps=2, trials_per_episode=3, stagger=True)
    num_rows = 4

    def run(key):
        state, first = episodes.reset(jnp.zeros(num_rows, jnp.int32), key=jax.random.split(key, num_rows))

        def step(state, key):
            return episodes.step(state, jnp.zeros((num_rows, 1)), key=jax.random.split(key, num_rows))

        return first, jax.lax.scan(step, state, jax.random.split(key, 7))[1]

    first, later = jit(run)(jax.random.key(0))
    np.testing.assert_array_equal(first.trial, [0, 1, 2, 0])
    assert first.episode_start.all()
    for row, ends in enumerate(([5], [3], [1, 7], [5])):
        np.testing.assert_array_equal(np.flatnonzero(later.episode_start[:, row]), [end for end in ends if end < 7])
    np.testing.assert_array_equal(later.trial[:, 1], [1, 1, 2, 2, 0, 0, 1])
