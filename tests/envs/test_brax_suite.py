"""One harness over every body and task of the Brax suite, and what each task says it changes."""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.brax_bodies import BODIES
from icrl.envs.brax_families import FAMILIES
from icrl.envs.brax_suite import DYNAMICS, TASKS, BraxBody, BraxParameters, bodies
from icrl.envs.brax_tasks import POINTS
from tests.quick import jit

STEPS, ROWS = 48, 4
"""Two seconds of four rows per task."""
MANY = 64
"""Draws of a task."""
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
    for name, task in FAMILIES.items():
        like = FAMILIES.get(task.changes.split()[0])  # as arm_find, which is "reacher_find with ..."
        said = task.changes + (like.changes if like else "")
        assert "{:g} to {:g} ".format(*task.goal) in said, name


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


def test_goal_and_dynamics_are_drawn_from_the_ranges_of_their_task(harness: Harness):
    body, keys = harness.body, jax.random.split(jax.random.key(0), MANY)
    draw = jax.vmap(lambda index: jax.vmap(lambda key: body.sample_task(index, key=key))(keys))
    drawn: BraxParameters = jax.tree.map(np.asarray, jit(draw)(jnp.arange(len(body.tasks))))
    for index, name in enumerate(body.tasks):
        task, goal = TASKS[name], drawn.goal[index]
        far = np.linalg.norm(goal, axis=-1)
        for what, values in [("goal", far), *((name, getattr(drawn, name)[index]) for name in DYNAMICS)]:
            low, high = getattr(task, what)
            assert np.all((values >= low - 1e-6) & (values <= high + 1e-6)), (name, what)
            assert len(np.unique(values)) == (MANY if low < high else 1), (name, what)
            if low < high:  # all of the range is drawn from
                assert np.ptp(values) > 0.7 * (high - low), (name, what)
        signs = np.sign(np.round(goal, 6)).T
        if task.way == "any":
            assert all(np.mean(sign > 0) == pytest.approx(0.5, abs=0.25) for sign in signs), name
        else:
            assert not signs[1].any(), name
            assert np.mean(signs[0] < 0) == pytest.approx(0.5 if task.way == "either" else 0, abs=0.2), name
        if task.way == "any" and task.goal[0] == 0:  # even by area
            assert np.mean(far < task.goal[1] / np.sqrt(2)) == pytest.approx(0.5, abs=0.2), name


def test_what_a_body_hides_is_all_that_its_tasks_draw_and_do_not_show():
    for body in bodies(tuple(POINTS)):
        assert body.hidden_size == 0
    [body] = bodies(("reacher_easy", "reacher_find", "reacher_find_beyond"))
    assert body.hidden_size == 5
    told = np.asarray(body.hidden(BraxParameters(jnp.int32(1), jnp.array([0.1, -0.12]), 1.0, 1.0, 0.8, 1.15, 0.25)))
    # goals up to 0.2 m; length 0.8 to 1.2, gear 0.7 to 1.3, damping 0 to 0.5: its own ranges, not another task's
    np.testing.assert_allclose(told, [0.5, -0.6, -1, 0.5, 0], atol=1e-6)
    for body in SUITE.values():
        drawn = [body.sample_task(jnp.int32(0), key=jax.random.key(seed)) for seed in range(3)]
        hidden = np.array([body.hidden(task) for task in drawn])
        assert hidden.shape == (3, body.hidden_size)
        assert np.all(np.abs(hidden) <= 1 + 1e-5)


def test_the_points_earn_what_they_earned_before_there_were_families(harness: Harness):
    """Records of meta_brax and the agent that ships were made on them."""
    expected = json.loads((Path(__file__).parent / "brax_returns.json").read_text())
    for name in set(harness.body.tasks) & set(POINTS):
        returns = task(harness.random, harness.body, name).reward.sum(axis=-1)
        np.testing.assert_allclose(returns, expected[name], rtol=1e-3, atol=1e-3, err_msg=name)
    assert set(expected) == set(POINTS)


def test_actions_beyond_their_range_are_clipped(harness: Harness):
    for sign in (-1.0, 1.0):
        full, beyond = harness.constant(sign), harness.constant(3 * sign)
        np.testing.assert_array_equal(beyond.observation, full.observation)
    assert np.any(full.observation != harness.constant(0.5).observation)


def task(play: Play, body: BraxBody, name: str) -> Play:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[body.tasks.index(name)], play)


def test_tasks_of_a_body_that_start_alike_move_alike_unless_their_dynamics_differ(harness: Harness):
    """So what a family's goal is shows in nothing but rewards."""
    for one, other in combinations(harness.body.tasks, 2):
        if TASKS[one].start != TASKS[other].start or TASKS[one].shown != TASKS[other].shown:
            continue
        first, second = (task(harness.random, harness.body, name) for name in (one, other))
        dynamics = [[getattr(TASKS[name], what) for what in DYNAMICS] for name in (one, other)]
        difference = np.max(np.abs(first.observation - second.observation))
        if dynamics[0] == dynamics[1]:
            np.testing.assert_array_equal(first.first, second.first)
            assert difference == 0, (one, other)
        else:
            assert difference > 0.05, (one, other)


def test_the_dynamics_are_what_is_drawn_and_the_file_s_where_no_task_draws(harness: Harness):
    body, file = harness.body, harness.body.body.system
    given = {"gravity": 1.3, "mass": 2.0, "length": 1.1, "gear": 0.7, "damping": 0.4}
    as_in_the_file = {"gravity": 1.0, "mass": 1.0, "length": 1.0, "gear": 1.0, "damping": 0.0}
    other = {
        what for name in body.tasks for what in DYNAMICS if getattr(TASKS[name], what) != (as_in_the_file[what],) * 2
    }
    assert {"gear", "damping"} <= other
    gravity, mass, length, gear, damping = (given[what] if what in other else as_in_the_file[what] for what in DYNAMICS)
    system = body._system(BraxParameters(jnp.int32(0), jnp.zeros(2), **given))
    for got, expected in (
        (system.gravity, gravity * np.array(file.gravity)),
        (system.link.inertia.mass[-1:], mass * file.link.inertia.mass[-1:]),
        (system.link.inertia.mass[:-1], file.link.inertia.mass[:-1]),
        (system.link.transform.pos, length * file.link.transform.pos),
        (system.link.inertia.transform.pos, length * file.link.inertia.transform.pos),
        (system.actuator.gear, gear * file.actuator.gear),
        (system.vel_damping, file.vel_damping - damping),
        (system.ang_damping, file.ang_damping - damping),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


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


def angle(o: np.ndarray, cos: int, sin: int) -> np.ndarray:
    return np.arctan2(o[..., sin], o[..., cos])


def reach(arm: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Distance of the tip from the goal, m; the last two observed are where it is, in 0.2 m."""
    return np.linalg.norm(0.2 * arm[..., -2:] - goal, axis=-1)


def shown(arm: np.ndarray) -> np.ndarray:
    """The same where the target is shown, and the last two are the way from there."""
    return reach(arm, np.zeros(2))


# Of the goal there are two coordinates. Observed of the reacher are: cosines, sines, velocities / 5 rad/s, target,
# offset; of the pendulum cosine, sine, velocity / 5 rad/s; of the point where it is and its velocity.
REWARD_OF_OBSERVATION = {
    "cartpole_balance": lambda o, g: standing(o),
    "cartpole_balance_heavy": lambda o, g: standing(o),
    "cartpole_swingup": lambda o, g: height(o),
    "cartpole_centre": lambda o, g: falling(o[..., 0], 0.6),
    "cartpole_side": lambda o, g: falling(o[..., 0] - 0.5, 0.6),
    "cartpole_place": lambda o, g: falling(o[..., 0] - g[..., 0], 0.6),
    "cartpole_spin": lambda o, g: np.clip(5 * o[..., 4] / 6, 0, 1),
    "cartpole_spin_heavy": lambda o, g: np.clip(5 * o[..., 4] / 6, 0, 1),
    "cartpole_turn": lambda o, g: np.clip(5 * o[..., 4] / g[..., 0], 0, 1),
    "reacher_easy": lambda o, g: falling(shown(o), 0.3),
    "reacher_hard": lambda o, g: 0.1 ** (shown(o) / 0.1) ** 2,
    "reacher_find": lambda o, g: falling(reach(o, g), 0.3),
    "reacher_spin": lambda o, g: np.clip(o[..., 4], 0, 1),
    "reacher_turn": lambda o, g: np.clip(5 * o[..., 4] / g[..., 0], 0, 1),
    "reacher_cruise": lambda o, g: falling(5 * o[..., 4] - 2, 2),
    "reacher_fold": lambda o, g: falling(angle(o, 1, 3) - 2, 2),
    "reacher_pose": lambda o, g: falling(angle(o, 1, 3) - g[..., 0], 1.5),
    "double_pendulum_centre": lambda o, g: falling(o[..., 0], 0.6),
    "double_pendulum_place": lambda o, g: falling(o[..., 0] - g[..., 0], 0.6),
    "double_pendulum_swingup": lambda o, g: tip_height(o),
    "pendulum_hold": lambda o, g: falling((angle(o, 0, 1) - g[..., 0] + np.pi) % (2 * np.pi) - np.pi, 1.2),
    "pendulum_turn": lambda o, g: np.clip(5 * o[..., 2] / g[..., 0], 0, 1),
    "pendulum_cruise": lambda o, g: falling(5 * o[..., 2] - g[..., 0], 1.5),
    "point_find": lambda o, g: falling(np.linalg.norm(o[..., :2] - g, axis=-1), 0.9),
    "point_run": lambda o, g: np.clip((o[..., 2:] * g).sum(-1) / (g**2).sum(-1), 0, 1),
    "point_circle": lambda o, g: np.clip((o[..., 0] * o[..., 3] - o[..., 1] * o[..., 2]) / g[..., 0], 0, 1),
    "arm_find": lambda o, g: falling(reach(o, g), 0.3),
    "arm_turn": lambda o, g: np.clip(5 * o[..., 4] / g[..., 0], 0, 1),
}


def test_every_reward_follows_from_the_observation_and_the_goal(harness: Harness):
    for name in harness.body.tasks:
        play = task(harness.random, harness.body, name)
        reward = REWARD_OF_OBSERVATION[name.removesuffix("_beyond")](play.observation, play.drawn.goal[:, None])
        # Joints give a little, so that the double pendulum's tip is not exactly where its angles say.
        atol = 0.02 if name == "double_pendulum_swingup" else 1e-4
        np.testing.assert_allclose(play.reward, reward, atol=atol, err_msg=name)
        assert np.ptp(play.reward) > 0.01, name


def test_a_pole_left_alone_falls_and_a_hanging_one_stays(harness_of: Callable[[str], Harness]):
    harness = harness_of("cartpole")
    still = harness.constant(0.0)
    balance = task(still, harness.body, "cartpole_balance").reward
    assert np.all(balance[:, 0] > 0.5) and np.all(balance.min(axis=1) == 0)
    assert np.all(task(still, harness.body, "cartpole_swingup").reward < 0.05)
