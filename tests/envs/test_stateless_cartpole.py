"""Randomly projected CartPole: what differs from POPGym's, how its action is projected, and how its trials start."""

import jax
import jax.numpy as jnp
import numpy as np

from icrl.envs.popgym.cartpole import MAX_ANGLE, MAX_POSITION, CartPoleState, StatelessCartPole
from icrl.envs.projection import ProjectionSpec
from icrl.envs.stateless_cartpole import environments
from icrl.envs.suites import TaskSetSpec
from tests.quick import jit

[ENVIRONMENT] = environments(["stateless_cartpole"])


def after_a_push(environment: StatelessCartPole, position: float, angle: float, step: int = 0):
    state = CartPoleState(jnp.array([position, 0.5, angle, -0.5]), jnp.int32(step))
    return jit(lambda: environment.step((), state, jnp.int32(1), key=jax.random.key(0)))()


def test_position_and_angle_are_seen_as_shares_of_their_limits_and_velocities_are_not():
    state, after = after_a_push(ENVIRONMENT, position=1.2, angle=0.1)
    np.testing.assert_allclose(after.observation, state.motion[::2] / np.array([MAX_POSITION, MAX_ANGLE]), rtol=1e-6)
    _, original = after_a_push(StatelessCartPole(), position=1.2, angle=0.1)
    np.testing.assert_allclose(original.observation, state.motion[::2], rtol=1e-6)


def test_a_pole_that_never_falls_earns_1():
    assert ENVIRONMENT.max_trial_steps == 200
    _, after = after_a_push(ENVIRONMENT, 0.0, 0.0, step=199)
    assert (bool(after.terminated), bool(after.truncated)) == (False, True)
    np.testing.assert_allclose(after.reward, 1 / 200)


PROJECTION = ProjectionSpec("gaussian", observation_size=4, action_size=2)
SPEC = TaskSetSpec(
    suite="cartpole",
    train=("stateless_cartpole",),
    trial_steps=None,
    trials_per_episode=3,
    projection=PROJECTION,
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
        starts = [first[0].motion[row, 2], motion.motion[second, row, 2], motion.motion[third, row, 2]]
        assert len(set(starts)) == 3
        assert all(abs(angle) <= 0.05 for angle in starts)
        np.testing.assert_array_equal(matrices[second, row], first[1][row])
    assert np.abs(first[1][0] - first[1][1]).max() > 0.1


def test_the_largest_coordinate_of_the_projected_action_is_the_push():
    projected = PROJECTION.build(ENVIRONMENT)
    task = projected.sample_task(jnp.int32(0), key=jax.random.key(1))
    assert task.action_matrix.shape == (2, 2)
    state, _ = projected.reset(task, key=jax.random.key(2))
    pushes = []
    for action in jnp.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]]):
        after, _ = projected.step(task, state, action, key=jax.random.key(3))
        left, right = np.asarray(task.action_matrix) @ action
        pushes.append(bool(after.motion[1] > state.motion[1]))
        assert pushes[-1] == bool(right > left)
    assert pushes[:2] == [not push for push in pushes[2:]]  # the other way round, the other push
