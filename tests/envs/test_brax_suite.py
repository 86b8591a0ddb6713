"""One harness over every body and task of the Brax suite, and what each task says it changes."""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.brax_suite import BODIES, TASKS, BraxBody, BraxParameters, bodies
from tests.quick import jit

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
        self.play = jit(self._play)
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


def test_tasks_of_a_body_that_start_alike_move_alike_unless_their_dynamics_differ(harness: Harness):
    for one, other in combinations(harness.body.tasks, 2):
        if TASKS[one].start != TASKS[other].start or TASKS[one].target_radius != TASKS[other].target_radius:
            continue
        first, second = (task(harness.random, harness.body, name) for name in (one, other))
        np.testing.assert_array_equal(first.first, second.first)
        dynamics = [(TASKS[name].gravity, TASKS[name].mass) for name in (one, other)]
        difference = np.max(np.abs(first.observation - second.observation))
        assert (difference == 0) if dynamics[0] == dynamics[1] else (difference > 0.05), (one, other)


def test_gravity_and_the_last_links_mass_are_the_multiples_a_task_names(harness: Harness):
    body, file = harness.body, harness.body.body.system

    def dynamics(index):
        system = body._system(BraxParameters(index, jnp.zeros(2)))
        return system.gravity, system.link.inertia.mass

    gravity, mass = jit(jax.vmap(dynamics))(jnp.arange(len(body.tasks)))
    for index, name in enumerate(body.tasks):
        np.testing.assert_allclose(gravity[index], TASKS[name].gravity * np.array(file.gravity), rtol=1e-6)
        np.testing.assert_allclose(mass[index, -1], TASKS[name].mass * file.link.inertia.mass[-1], rtol=1e-6)
        np.testing.assert_array_equal(mass[index, :-1], file.link.inertia.mass[:-1])


def height(cart: np.ndarray) -> np.ndarray:
    """Reward of a cartpole kept upright in the middle; observed are x, cos, sin, x', angle' / 5."""
    return 0.5 * (1 + cart[..., 1]) * 0.1 ** cart[..., 0] ** 2


def standing(cart: np.ndarray) -> np.ndarray:
    """Reward of a pole near upright, within 0.8 rad."""
    return falling(np.arctan2(cart[..., 2], cart[..., 1]), 0.8)


def tip_height(carts: np.ndarray) -> np.ndarray:
    """Reward of the double pendulum's tip; observed are x, two cosines, two sines and velocities; links of 0.6 m."""
    cos, sin = carts[..., 1:3], carts[..., 3:5]
    both = cos[..., 0] * cos[..., 1] - sin[..., 0] * sin[..., 1]
    return np.clip(0.5 + 0.6 * (cos[..., 0] + both) / 2.4, 0, 1)


def falling(distance: np.ndarray, far: float) -> np.ndarray:
    return np.clip(1 - np.abs(distance) / far, 0, 1)


def reach(arm: np.ndarray) -> np.ndarray:
    """Distance of the tip from the target, m; the last two observed are its coordinates, in 0.2 m."""
    return 0.2 * np.linalg.norm(arm[..., -2:], axis=-1)


# Of the reacher are observed: cosines, sines, velocities / 5 rad/s, target, offset.
REWARD_OF_OBSERVATION = {
    "cartpole_balance": standing,
    "cartpole_balance_heavy": standing,
    "cartpole_swingup": height,
    "cartpole_centre": lambda o: falling(o[..., 0], 0.6),
    "cartpole_side": lambda o: falling(o[..., 0] - 0.5, 0.6),
    "cartpole_spin": lambda o: np.clip(5 * o[..., 4] / 6, 0, 1),
    "cartpole_spin_heavy": lambda o: np.clip(5 * o[..., 4] / 6, 0, 1),
    "reacher_easy": lambda o: falling(reach(o), 0.3),
    "reacher_hard": lambda o: 0.1 ** (reach(o) / 0.1) ** 2,
    "reacher_spin": lambda o: np.clip(o[..., 4], 0, 1),
    "reacher_cruise": lambda o: falling(5 * o[..., 4] - 2, 2),
    "reacher_fold": lambda o: falling(np.arctan2(o[..., 3], o[..., 1]) - 2, 2),
    "double_pendulum_centre": lambda o: falling(o[..., 0], 0.6),
    "double_pendulum_swingup": tip_height,
}


def test_every_reward_follows_from_the_observation(harness: Harness):
    for name in harness.body.tasks:
        play = task(harness.random, harness.body, name)
        # Joints give a little, so that the double pendulum's tip is not exactly where its angles say.
        atol = 0.02 if name == "double_pendulum_swingup" else 1e-4
        np.testing.assert_allclose(play.reward, REWARD_OF_OBSERVATION[name](play.observation), atol=atol, err_msg=name)
        assert np.ptp(play.reward) > 0.01, name


def test_a_pole_left_alone_falls_and_a_hanging_one_stays(harness_of: Callable[[str], Harness]):
    harness = harness_of("cartpole")
    still = harness.constant(0.0)
    balance = task(still, harness.body, "cartpole_balance").reward
    assert np.all(balance[:, 0] > 0.5) and np.all(balance.min(axis=1) == 0)
    assert np.all(task(still, harness.body, "cartpole_swingup").reward < 0.05)
