"""Seeds and rows shared over devices: the numbers of one device, and every row with its own task for good."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.multi import Environments
from icrl.envs.trial import Episodes
from icrl.learners import LearnerSpec
from icrl.learners.a2c import A2CSpec
from icrl.learners.devices import SharedLearner, mesh_of
from icrl.learners.learner import LearnerState
from icrl.learners.minibatches import draw_minibatches
from icrl.learners.muesli import MuesliSpec
from icrl.learners.ppo import PPOSpec
from icrl.models import GRUSpec
from icrl.policy import PolicySpec
from tests.envs.counting import Counting
from tests.quick import jit

MEMBERS = (
    Episodes(Counting(tasks=("endless", "ends_at_2"), terminates_at=(0, 2)), trial_steps=3, trials_per_episode=2),
    Episodes(Counting(tasks=("ends_at_1",), terminates_at=(1,)), trial_steps=3, trials_per_episode=2),
)
NUM_ROWS, NUM_UPDATES, NUM_SEEDS = 12, 3, 2
SPECS = {
    "ppo": PPOSpec(rollout_steps=5, num_epochs=2, num_minibatches=2, learning_rate=0.01),
    "a2c": A2CSpec(rollout_steps=5, learning_rate=0.01, standardize_advantages=True),
    "muesli": MuesliSpec(rollout_steps=5, num_minibatches=2, learning_rate=0.01, num_samples=4, model_sizes=(8,)),
}


@cache
def trained(kind: str, num_devices: int, seed_groups: int = 1) -> tuple[LearnerState, dict[str, np.ndarray]]:
    spec: LearnerSpec = SPECS[kind]
    environments = Environments(MEMBERS, NUM_ROWS)
    policy = PolicySpec(encoder=(), heads=()).build(GRUSpec(width=8), environments.action_space)
    mesh = mesh_of(jax.devices()[:num_devices], seed_groups)
    learner = SharedLearner(spec.build(policy, environments, NUM_UPDATES), mesh)
    keys = jnp.stack([jax.random.PRNGKey(seed) for seed in range(NUM_SEEDS)])
    state = jit(learner.init, out_shardings=learner.sharding)(keys)
    return jax.device_get(jit(partial(learner.updates, NUM_UPDATES))(state))


@pytest.mark.parametrize("kind", SPECS)
def test_two_devices_agree_with_one_after_several_updates(kind: str):
    one, two = trained(kind, 1), trained(kind, 2)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), one, two)
    assert np.abs(one[1]["loss"]).min() > 0


@pytest.mark.parametrize("kind", SPECS)
def test_two_devices_with_a_seed_each_do_what_one_does_with_both_bit_for_bit(kind: str):
    jax.tree.map(np.testing.assert_array_equal, trained(kind, 1), trained(kind, 2, seed_groups=2))


@pytest.mark.parametrize(
    ("num_seeds", "num_devices", "shape"),
    [(1, 4, (1, 4)), (2, 4, (2, 2)), (3, 4, (1, 4)), (6, 4, (2, 2)), (4, 2, (2, 1))],
)
def test_devices_share_as_many_seeds_as_they_can_share_equally(num_seeds: int, num_devices: int, shape: tuple):
    mesh = mesh_of(jax.devices()[:1] * num_devices, num_seeds)
    assert mesh.devices.shape == shape


def test_rows_are_bound_to_their_tasks_on_every_device():
    state, _ = trained("ppo", 2)
    rows_each = NUM_ROWS // 3
    assert state.carry.row.shape == (NUM_SEEDS, 3, rows_each)
    np.testing.assert_array_equal(state.carry.row[0], np.arange(NUM_ROWS).reshape(3, rows_each))
    np.testing.assert_array_equal(state.carry.environment[0].task_index[0], np.repeat([[0], [1]], rows_each, axis=1))
    np.testing.assert_array_equal(state.carry.environment[1].task_index[0], np.zeros((1, rows_each)))


def test_statistics_count_the_trials_of_all_devices():
    _, metrics = trained("ppo", 2)
    trials = metrics["trial_count"].sum((1, 3))  # [S, tasks], of 15 steps on 4 rows each
    np.testing.assert_array_equal(trials, [[20, 28, 60]] * NUM_SEEDS)


def test_a_minibatch_has_as_many_rows_of_every_run_and_all_rows_take_part():
    rows = np.arange(24)
    draws = np.asarray(
        jax.vmap(lambda key: draw_minibatches(jnp.asarray(rows), 4, key=key))(jax.random.split(jax.random.key(0), 50))
    )
    assert draws.shape == (50, 4, 6)
    for minibatches in draws:
        np.testing.assert_array_equal(np.sort(minibatches.ravel()), rows)
        np.testing.assert_array_equal(minibatches // 4, np.tile(np.arange(6), (4, 1)))
    # Every row comes into every minibatch at some time, independently of its neighbours.
    assert all(len(np.unique(np.argmax((draws == row).any(2), axis=1))) == 4 for row in rows)


def test_a_device_with_half_of_the_runs_draws_its_half_of_the_minibatches():
    key = jax.random.key(1)
    whole = draw_minibatches(jnp.arange(24), 4, key=key)
    np.testing.assert_array_equal(draw_minibatches(jnp.arange(12, 24), 4, key=key) + 12, whole[:, 3:])
