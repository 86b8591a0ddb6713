"""The steps of PPO, one by one, on the counting environment."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.multi import Environments
from icrl.envs.trial import Episodes
from icrl.errors import SpecError
from icrl.learners import losses
from icrl.learners.learner import LearnerState
from icrl.learners.minibatches import take_rows
from icrl.learners.on_policy import Batch
from icrl.learners.ppo import PPO, PPOSpec
from icrl.models import GRUSpec
from icrl.policy import PolicySpec
from icrl.types import Trajectory
from tests.envs.counting import Counting
from tests.learners.probes import largest_moves
from tests.learners.test_returns import brute_force
from tests.quick import jit

ROWS = ("endless", "ends_at_2", "ends_at_3")
NUM_ROWS, NUM_STEPS = 6, 10
SPEC = PPOSpec(
    rollout_steps=NUM_STEPS,
    num_epochs=1,
    num_minibatches=1,
    learning_rate=0.01,
    anneal_learning_rate=True,
    discount=0.9,
    trace=0.8,
    entropy_weight=0.01,
    reward_scale=0.5,
    standardize_advantages=False,
)


NUM_UPDATES = 2


def ppo(spec: PPOSpec) -> PPO:
    episodes = Episodes(Counting(tasks=ROWS, terminates_at=(0, 2, 3)), trial_steps=3, trials_per_episode=2)
    environments = Environments((episodes,), NUM_ROWS)
    policy = PolicySpec(encoder=(), heads=()).build(GRUSpec(width=8), environments.action_space)
    return spec.build(policy, environments, NUM_UPDATES)


LEARNER = ppo(SPEC)
learn = jit(LEARNER.learn)


@cache
def collected() -> tuple[LearnerState, Batch]:
    """A state with far from initial parameters, and its second rollout: memory is under way when it starts."""

    @jit
    def run(key):
        state = LEARNER.init(key)
        leaves, structure = jax.tree.flatten(state.agent.params)
        noise = [0.3 * jnp.sin(jnp.arange(leaf.size) + i).reshape(leaf.shape) for i, leaf in enumerate(leaves)]
        params = jax.tree.map(jnp.add, state.agent.params, jax.tree.unflatten(structure, noise))
        return state._replace(agent=state.agent._replace(params=params))

    collect = jit(LEARNER.collect)
    state = run(jax.random.PRNGKey(0))
    carry, _ = collect(state.agent, state.carry, key=jax.random.key(1))
    carry, batch = collect(state.agent, carry, key=jax.random.key(2))
    return state._replace(carry=carry), batch


@cache
def loss_of_collected() -> tuple[float, dict[str, float]]:
    state, batch = collected()
    return jit(LEARNER.loss)(state.agent.params, batch)


def test_targets_follow_the_flags_of_episodes_not_of_trials():
    _, batch = collected()
    steps = jax.tree.map(np.asarray, batch.trajectory)
    assert np.any((steps.terminated | steps.truncated) & ~steps.episode_end)
    following = np.concatenate([steps.value[1:], np.zeros((1, NUM_ROWS))])
    following = np.where(steps.episode_end, steps.bootstrap, following)
    expected = brute_force(0.5 * steps.reward, steps.value, following, steps.episode_end, 0.9, 0.8)
    # What follows the last step lies beyond the rollout, so compare the episodes that end within it.
    inside = np.flip(np.maximum.accumulate(np.flip(steps.episode_end, 0)), 0)
    assert inside.sum() >= NUM_STEPS
    np.testing.assert_allclose(batch.advantage[inside], expected[inside], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(batch.target, batch.advantage + steps.value, rtol=1e-6)


def test_a_trials_own_end_ends_the_return_where_asked_and_a_time_limit_does_not():
    state, _ = collected()
    learner = ppo(replace(SPEC, termination_ends_return=True))
    _, batch = jit(learner.collect)(state.agent, state.carry, key=jax.random.key(5))
    steps = jax.tree.map(np.asarray, batch.trajectory)
    end = steps.terminated | steps.episode_end
    assert np.any(steps.truncated & ~end)
    assert np.any(steps.terminated & ~steps.episode_end)
    following = np.where(end, steps.bootstrap, np.concatenate([steps.value[1:], np.zeros((1, NUM_ROWS))]))
    np.testing.assert_array_equal(following[steps.terminated], 0)
    expected = brute_force(0.5 * steps.reward, steps.value, following, end, 0.9, 0.8)
    inside = np.flip(np.maximum.accumulate(np.flip(end, 0)), 0)
    np.testing.assert_allclose(batch.advantage[inside], expected[inside], rtol=1e-4, atol=1e-5)


def test_the_last_step_of_a_rollout_looks_at_the_value_of_the_next():
    state, batch = collected()
    steps, now = batch.trajectory, state.carry.timestep
    _, output = jit(LEARNER.policy.apply)(
        state.agent.params, state.carry.memory, now.observation[None], now.episode_start[None]
    )
    following = np.where(steps.episode_end[-1], steps.bootstrap[-1], output.value[0])
    assert 0 < steps.episode_end[-1].sum() < NUM_ROWS
    np.testing.assert_allclose(
        batch.advantage[-1], 0.5 * steps.reward[-1] + 0.9 * following - steps.value[-1], rtol=1e-4, atol=1e-5
    )


def test_replay_needs_the_memory_that_the_rollout_started_from():
    state, batch = collected()
    assert loss_of_collected()[1]["ratio_error"] < 1e-5
    forgotten = batch._replace(memory=LEARNER.policy.initial_memory(NUM_ROWS))
    assert jit(LEARNER.loss)(state.agent.params, forgotten)[1]["ratio_error"] > 1e-3


def test_the_loss_is_the_weighted_sum_of_its_terms():
    total, metrics = loss_of_collected()
    weighted = metrics["policy_loss"] + 0.5 * metrics["value_loss"] - 0.01 * metrics["entropy"]
    np.testing.assert_allclose(total, weighted, rtol=1e-6)
    np.testing.assert_array_equal(metrics["loss"], total)


def test_before_the_first_gradient_step_the_loss_is_known_from_the_rollout_alone():
    _, batch = collected()
    _, metrics = loss_of_collected()
    np.testing.assert_allclose(metrics["policy_loss"], -batch.advantage.mean(), rtol=1e-3)
    np.testing.assert_allclose(metrics["value_loss"], 0.5 * jnp.mean(batch.advantage**2), rtol=1e-3)
    np.testing.assert_allclose(metrics["approximate_kl"], 0, atol=1e-6)
    assert metrics["clip_fraction"] == 0


def collected_standardized(by_task: bool) -> Batch:
    state, _ = collected()
    learner = ppo(replace(SPEC, standardize_advantages=True, standardize_by_task=by_task))
    return jit(learner.collect)(state.agent, state.carry, key=jax.random.key(4))[1]


def test_advantages_are_standardized_task_by_task_and_targets_are_not():
    standardized = collected_standardized(by_task=True)
    by_task = np.asarray(standardized.advantage).reshape(NUM_STEPS, len(ROWS), -1)
    np.testing.assert_allclose(by_task.mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(by_task.std((0, 2)), 1, rtol=1e-4)
    raw = np.asarray(standardized.target - standardized.trajectory.value).reshape(by_task.shape)
    assert np.all(np.abs(raw.std((0, 2)) - 1) > 0.01)


def test_advantages_standardized_over_all_tasks_keep_the_proportions_between_them():
    standardized = collected_standardized(by_task=False)
    raw = standardized.target - standardized.trajectory.value
    np.testing.assert_allclose(standardized.advantage, (raw - raw.mean()) / raw.std(), atol=1e-3)


def test_one_epoch_of_one_minibatch_is_one_step_of_adam_on_the_clipped_gradient():
    state, batch = collected()
    agent, metrics = learn(state.agent, batch, key=jax.random.key(3))
    gradients, _ = jit(jax.grad(LEARNER.loss, has_aux=True))(state.agent.params, batch)
    norm = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(gradients)))
    assert norm > SPEC.max_gradient_norm
    np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-4)
    # The first step of Adam is lr * g / (|g| + eps), whatever its decay rates.
    clipped = jax.tree.map(lambda leaf: leaf * SPEC.max_gradient_norm / norm, gradients)
    expected = jax.tree.map(lambda p, g: p - 0.01 * g / (np.abs(g) + 1e-5), state.agent.params, clipped)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-4), agent.params, expected)
    np.testing.assert_allclose(
        metrics["explained_variance"],
        losses.explained_variance(batch.trajectory.value, batch.target),
        rtol=1e-5,
    )


def test_an_epoch_visits_every_row_once():
    """Where steps are too small to matter, minibatches of one row sum to the whole batch: see their mean metrics."""
    state, batch = collected()
    tiny = ppo(replace(SPEC, num_minibatches=NUM_ROWS, learning_rate=1e-12))
    _, metrics = jit(tiny.learn)(state.agent, batch, key=jax.random.key(3))
    for name in ("policy_loss", "value_loss", "entropy"):
        np.testing.assert_allclose(metrics[name], loss_of_collected()[1][name], rtol=1e-3, err_msg=name)


def test_an_annealed_learning_rate_reaches_zero_with_the_last_update():
    state, batch = collected()
    moves = largest_moves(learn, state.agent, batch, NUM_UPDATES + 1)
    np.testing.assert_allclose(moves[0], 0.01, rtol=1e-2)  # Adam's first step is the learning rate
    assert 0 < moves[1] < 0.01
    assert moves[2] == 0


def test_an_update_is_a_function_of_its_state_alone():
    update = jit(LEARNER.update)
    state, _ = collected()
    first, metrics = update(state)
    jax.tree.map(np.testing.assert_array_equal, update(state), (first, metrics))
    assert first.update == 1
    np.testing.assert_array_equal(first.key, state.key)
    assert all(np.all(np.isfinite(leaf)) for leaf in metrics.values())
    # Another update draws other numbers from the same key.
    _, other = update(state._replace(update=jnp.int32(1)))
    assert other["loss"] != metrics["loss"]


def test_a_minibatch_has_whole_sequences_of_its_rows():
    _, batch = collected()
    rows = jnp.array([4, 1])
    some = take_rows(batch, rows)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:, rows]), some.trajectory, batch.trajectory)
    np.testing.assert_array_equal(some.advantage, batch.advantage[:, rows])
    np.testing.assert_array_equal(some.target, batch.target[:, rows])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[rows]), some.memory, batch.memory)


def test_trial_statistics_by_hand():
    _, batch = collected()
    # Rows 0 and 1 are bound to the first task, 2 and 3 to the second, 4 and 5 to the third.
    shape = (3, NUM_ROWS)
    ended, trial, trial_return = np.zeros(shape, bool), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    ended[0, 0], trial_return[0, 0] = True, 5
    ended[2, 1], trial_return[2, 1] = True, 7
    ended[1, 3], trial[1, 3], trial_return[1, 3] = True, 1, -2
    trial_return[2, 4] = 100  # still under way
    truncated = ended & (trial == 0)
    trajectory = batch.trajectory._replace(
        trial=jnp.asarray(trial),
        trial_return=jnp.asarray(trial_return),
        truncated=jnp.asarray(truncated),
        terminated=jnp.asarray(ended & ~truncated),
    )
    statistics = LEARNER.trial_statistics(batch._replace(trajectory=Trajectory(*trajectory)))
    np.testing.assert_array_equal(statistics["trial_return_sum"], [[12, 0], [0, -2], [0, 0]])
    np.testing.assert_array_equal(statistics["trial_count"], [[2, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("rollout_steps", 0, "at least 1"),
        ("num_epochs", 0, "at least 1"),
        ("num_minibatches", -1, "at least 1"),
        ("discount", 1.5, "between 0 and 1"),
        ("trace", -0.1, "between 0 and 1"),
        ("entropy_weight", -0.1, "at least 0"),
        ("value_weight", -1.0, "at least 0"),
        ("learning_rate", 0.0, "above 0"),
        ("clip", 0.0, "above 0"),
        ("max_gradient_norm", -1.0, "above 0"),
        ("reward_scale", 0.0, "above 0"),
    ],
)
def test_impossible_hyperparameters_are_refused(field: str, value: float, expected: str):
    with pytest.raises(SpecError) as error:
        PPOSpec(**{field: value})
    assert str(error.value) == f"{field}: got {value}; expected {expected}"
