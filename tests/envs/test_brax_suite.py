"""One harness over every body and task of the Brax suite, and what each task says it changes."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.brax_suite import BODIES, TASKS, BraxBody, BraxParameters, bodies

STEPS, ROWS = 48, 4
"""Two seconds of four rows per task."""
SUITE = {TASKS[body.tasks[0]].body: body for body in bodies(tuple(TASKS))}


class Play(NamedTuple):
    """What happened, from the first observation on; leading axes ``[task, row]``."""

    drawn: BraxParameters
    start: tuple[jax.Array, jax.Array]  # q, qd
    first: jax.Array  # observation
    observation: jax.Array  # [..., T, O]
    reward: jax.Array  # [..., T]
    ended: jax.Array  # [..., T] bool


class Harness:
    """A body and its tasks: row r of every task draws by the same key and takes the same actions."""

    def __init__(self, body: BraxBody) -> None:
        self.body = body
        self.play = jax.jit(self._play)
        self.random = self.play(jax.random.key(0), self.random_actions())

    def random_actions(self) -> np.ndarray:
        shape = (ROWS, STEPS, self.body.action_space.size)
        return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    def constant(self, value: float) -> Play:
        return self.play(jax.random.key(0), np.full_like(self.random_actions(), value))

    def _play(self, key: jax.Array, actions: jax.Array) -> Play:
        each_row = jax.vmap(self._play_row, (None, 0, 0))
        each_task = jax.vmap(each_row, (0, None, None))
        return each_task(jnp.arange(len(self.body.tasks)), jax.random.split(key, ROWS), actions)

    def _play_row(self, index: jax.Array, key: jax.Array, actions: jax.Array) -> Play:
        task_key, reset_key, step_key = jax.random.split(key, 3)
        task = self.body.sample_task(index, key=task_key)
        state, first = self.body.reset(task, key=reset_key)

        def step(state, action):
            return self.body.step(task, state, action, key=step_key)

        _, after = jax.lax.scan(step, state, actions)
        ended = after.terminated | after.truncated
        return Play(task, (state.q, state.qd), first, after.observation, after.reward, ended)


@pytest.fixture(scope="module")
def harness_of() -> Callable[[str], Harness]:
    built: dict[str, Harness] = {}

    def harness(body: str) -> Harness:
        if body not in built:
            built[body] = Harness(SUITE[body])
        return built[body]

    return harness


@pytest.fixture(params=SUITE, ids=str)
def harness(request: pytest.FixtureRequest, harness_of: Callable[[str], Harness]) -> Harness:
    return harness_of(request.param)


def test_bodies_share_out_all_tasks_in_order():
    assert list(SUITE) == list(BODIES)
    assert sorted(task for body in SUITE.values() for task in body.tasks) == sorted(TASKS)
    assert [body.tasks for body in bodies(("reacher_easy", "cartpole_spin", "reacher_hard"))] == [
        ("reacher_easy", "reacher_hard"),
        ("cartpole_spin",),
    ]


def test_every_task_says_what_it_changes():
    for name, task in TASKS.items():
        assert task.changes.endswith("."), name


def test_shapes_and_dtypes(harness: Harness):
    play, size = harness.random, harness.body.observation_size
    tasks = len(harness.body.tasks)
    assert play.first.shape == (tasks, ROWS, size)
    assert play.observation.shape == (tasks, ROWS, STEPS, size)
    assert play.reward.shape == (tasks, ROWS, STEPS)
    assert play.first.dtype == play.observation.dtype == play.reward.dtype == jnp.float32
    assert play.ended.dtype == jnp.bool_


@pytest.mark.parametrize("action", ["random", -1.0, 0.0, 1.0])
def test_rewards_lie_between_zero_and_one_and_observations_are_of_unit_size(harness: Harness, action):
    play = harness.random if action == "random" else harness.constant(action)
    assert np.all(np.isfinite(play.observation))
    assert np.all((play.reward >= 0) & (play.reward <= 1))
    scale = np.sqrt(np.mean(np.square(play.observation), axis=(1, 2)))
    assert scale.max() < 5
    assert not play.ended.any(), "no task of this suite terminates"


def test_a_key_determines_everything(harness: Harness):
    again = harness.play(jax.random.key(0), harness.random_actions())
    jax.tree.map(np.testing.assert_array_equal, again, harness.random)
    other = harness.play(jax.random.key(1), harness.random_actions())
    assert np.all(np.any(other.first != harness.random.first, axis=-1))


def test_rows_start_differently_within_the_ranges_of_their_task(harness: Harness):
    q, qd = map(np.asarray, harness.random.start)
    for index, name in enumerate(harness.body.tasks):
        low, high = np.array(TASKS[name].start).T
        assert np.all((q[index] >= low - 1e-6) & (q[index] <= high + 1e-6)), name
        assert len(np.unique(q[index, :, 0])) == ROWS, name
    assert np.all(np.abs(qd) <= 0.05)


def test_targets_lie_in_the_disc_of_their_task(harness: Harness):
    for index, name in enumerate(harness.body.tasks):
        distance = np.linalg.norm(harness.random.drawn.target[index], axis=-1)
        assert np.all(distance <= TASKS[name].target_radius), name
        assert len(np.unique(distance)) == (ROWS if TASKS[name].target_radius else 1), name


def test_actions_beyond_their_range_are_clipped(harness: Harness):
    for sign in (-1.0, 1.0):
        full, beyond = harness.constant(sign), harness.constant(3 * sign)
        np.testing.assert_array_equal(beyond.observation, full.observation)
    assert np.any(full.observation != harness.constant(0.5).observation)


def task(play: Play, body: BraxBody, name: str) -> Play:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[body.tasks.index(name)], play)


@pytest.fixture
def cartpole(harness_of: Callable[[str], Harness]) -> Callable[[str], Play]:
    harness = harness_of("cartpole")
    return lambda name: task(harness.random, harness.body, name)


@pytest.fixture
def reacher(harness_of: Callable[[str], Harness]) -> Callable[[str], Play]:
    harness = harness_of("reacher")
    return lambda name: task(harness.random, harness.body, name)


def test_a_pole_left_alone_falls_and_a_hanging_one_stays(harness_of: Callable[[str], Harness]):
    harness = harness_of("cartpole")
    still = harness.constant(0.0)
    balance = task(still, harness.body, "cartpole_balance").reward
    assert np.all(balance[:, 0] > 0.7) and np.all(balance.min(axis=1) < 0.2)
    assert np.all(task(still, harness.body, "cartpole_swingup").reward < 0.05)


def test_swingup_starts_hanging_and_balance_upright(cartpole):
    # Observed are cart, cos, sin, and both velocities.
    assert np.all(cartpole("cartpole_swingup").first[:, 1] < -0.9)
    assert np.all(cartpole("cartpole_balance").first[:, 1] > 0.6)


def test_spinning_back_rewards_the_opposite_velocity(cartpole):
    forwards, backwards = cartpole("cartpole_spin"), cartpole("cartpole_spin_back")
    np.testing.assert_array_equal(forwards.observation, backwards.observation)
    assert np.all(forwards.reward * backwards.reward == 0)
    assert np.all(forwards.reward + backwards.reward > 0)


def test_a_heavier_pole_moves_differently_for_the_same_reward(cartpole):
    light, heavy = cartpole("cartpole_swingup"), cartpole("cartpole_swingup_heavy")
    np.testing.assert_array_equal(light.first, heavy.first)
    assert np.max(np.abs(light.observation - heavy.observation)) > 0.05
    for play in (light, heavy):
        height = 0.5 * (1 + play.observation[..., 1])
        np.testing.assert_allclose(play.reward, height * 0.1 ** play.observation[..., 0] ** 2, atol=1e-5)


def test_centring_rewards_the_cart_only(cartpole):
    play = cartpole("cartpole_centre")
    np.testing.assert_allclose(play.reward, 0.1 ** (play.observation[..., 0] / 0.3) ** 2, atol=1e-5)


def test_a_hidden_target_changes_the_observation_only(reacher):
    seen, hidden = reacher("reacher_easy"), reacher("reacher_hidden")
    np.testing.assert_array_equal(seen.reward, hidden.reward)
    np.testing.assert_array_equal(seen.observation[..., :6], hidden.observation[..., :6])
    assert np.all(hidden.observation[..., 6:] == 0) and np.all(seen.observation[..., 6:] != 0)


def test_a_harder_target_is_narrower(reacher):
    easy, hard = reacher("reacher_easy"), reacher("reacher_hard")
    np.testing.assert_array_equal(easy.observation, hard.observation)
    assert np.all(hard.reward < easy.reward)


def test_reaching_rewards_the_observed_distance(reacher):
    # The last two numbers are the tip's offset from the target, in units of 0.2 m.
    play = reacher("reacher_easy")
    offset = 0.2 * play.observation[..., -2:]
    order = np.argsort(np.linalg.norm(offset, axis=-1), axis=None)
    assert np.all(np.diff(play.reward.ravel()[order]) <= 1e-6)


def test_the_double_pendulum_is_rewarded_for_the_height_of_its_tip(harness_of: Callable[[str], Harness]):
    harness = harness_of("double_pendulum")
    play = task(harness.random, harness.body, "double_pendulum_swingup")
    # Observed are cart, two cosines, two sines, three velocities; links are 0.6 m long.
    cos, sin = play.observation[..., 1:3], play.observation[..., 3:5]
    tip = 0.6 * cos[..., 0] + 0.6 * (cos[..., 0] * cos[..., 1] - sin[..., 0] * sin[..., 1])
    np.testing.assert_allclose(play.reward, 0.5 + tip / 2.4, atol=0.02)
