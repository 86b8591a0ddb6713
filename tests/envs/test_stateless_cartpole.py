"""CartPole without velocities: Gymnasium's dynamics, POPGym's rewards and limits, and its projected action."""

import jax
import jax.numpy as jnp
import numpy as np

from icrl.envs.projection import ProjectionSpec
from icrl.envs.stateless_cartpole import MAX_ANGLE, MAX_POSITION, CartPole, StatelessCartPole
from icrl.envs.suites import TaskSetSpec
from tests.quick import jit

ENVIRONMENT = StatelessCartPole()
step = jit(lambda state, action: ENVIRONMENT.step((), state, action, key=jax.random.key(0)))

START = CartPole(*np.float32([0.01, -0.02, 0.03, 0.04]), step=np.int32(0))
ACTIONS = [1, 1, 0, 1]
MOTION = [
    [0.0096, 0.1746792, 0.0308, -0.24306872],
    [0.01309358, 0.36934798, 0.02593863, -0.52587963],
    [0.02048054, 0.17387081, 0.01542103, -0.22513742],
    [0.02395796, 0.36876901, 0.01091828, -0.51291635],
]
"""Position, velocity, angle, angular velocity after each action, by Gymnasium 1.4.0's CartPole-v1."""


def test_motion_is_gymnasiums():
    state = START
    for action, expected in zip(ACTIONS, MOTION, strict=True):
        state, after = step(state, action)
        np.testing.assert_allclose(state[:4], expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(
            after.observation, [state.position / MAX_POSITION, state.angle / MAX_ANGLE], rtol=1e-6
        )
        assert not (after.terminated or after.truncated)


def test_velocities_are_not_observed():
    _, slow = step(START._replace(velocity=np.float32(0.5)), 1)
    _, fast = step(START._replace(velocity=np.float32(0.5), angular_velocity=np.float32(0.04)), 1)
    np.testing.assert_array_equal(slow.observation, fast.observation)
    assert slow.observation.shape == (2,)


def test_a_trial_ends_where_a_limit_is_passed():
    for name, limit in (("position", MAX_POSITION), ("angle", MAX_ANGLE)):
        for sign in (-1, 1):
            for share, fallen in ((0.99, False), (1.01, True)):
                state = CartPole(*np.zeros(4, np.float32), step=np.int32(3))
                _, after = step(state._replace(**{name: np.float32(sign * share * limit)}), 1)
                assert (bool(after.terminated), bool(after.truncated)) == (fallen, False)


def test_a_pole_that_never_falls_earns_1_and_is_truncated():
    _, after = step(START._replace(step=np.int32(199)), 1)
    assert (bool(after.terminated), bool(after.truncated)) == (False, True)
    np.testing.assert_allclose(after.reward * ENVIRONMENT.max_trial_steps, 1, rtol=1e-6)
    _, before = step(START._replace(step=np.int32(198)), 1)
    assert not before.truncated


SPEC = TaskSetSpec(
    suite="cartpole",
    train=("stateless_cartpole",),
    trial_steps=None,
    trials_per_episode=3,
    projection=ProjectionSpec("gaussian", observation_size=4, action_size=2),
)


def test_every_trial_starts_from_another_state_under_the_same_projection():
    """The paper's released code starts every trial of an episode from one state."""
    rows = SPEC.build(SPEC.train, 2)

    @jit
    def run(key):
        def one(carry, key):
            states, after = rows.step(carry, jnp.ones((2, 2)), key=jax.random.split(key))
            return states, (after.trial_start, states[0].environment, states[0].task.observation_matrix)

        states, _ = rows.reset(key=key)
        first = (states[0].environment, states[0].task.observation_matrix)
        return first, jax.lax.scan(one, states, jax.random.split(key, 40))[1]

    first, (trial_start, motion, matrices) = jax.tree.map(np.asarray, run(jax.random.key(0)))
    for row in range(2):
        [second, third, *_] = np.flatnonzero(trial_start[:, row])
        starts = [first[0].angle[row], motion.angle[second, row], motion.angle[third, row]]
        assert len(set(starts)) == 3
        assert all(abs(angle) <= 0.05 for angle in starts)
        np.testing.assert_array_equal(matrices[second, row], first[1][row])
    assert np.abs(first[1][0] - first[1][1]).max() > 0.1


def test_the_largest_coordinate_of_the_projected_action_is_the_push():
    projected = SPEC.projection.build(ENVIRONMENT)
    task = projected.sample_task(jnp.int32(0), key=jax.random.key(1))
    assert task.action_matrix.shape == (2, 2)
    state, _ = projected.reset(task, key=jax.random.key(2))
    pushes = []
    for action in np.float32([[1, 0], [0, 1], [-1, 0], [0, -1]]):
        after, _ = projected.step(task, state, action, key=jax.random.key(3))
        left, right = np.asarray(task.action_matrix) @ action
        pushes.append(after.velocity > state.velocity)
        assert pushes[-1] == (right > left)
    assert pushes[:2] == [not push for push in pushes[2:]]  # the other way round, the other push
