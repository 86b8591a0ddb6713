"""Muesli: its parts by hand and by brute force, and what an agent learns with it."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.distributions import TwoHot, squash, unsquash
from icrl.errors import SpecError
from icrl.learners.learner import LearnerState
from icrl.learners.losses import cmpo_weights
from icrl.learners.muesli import Batch, Muesli, MuesliSpec
from icrl.learners.returns import retrace
from icrl.models import GRUSpec, MLPSpec
from tests.commands.runs import documented_keys
from tests.learners.probes import MODELS, ActionProbe, MemoryProbe, ValueProbe, learner, mean_return, train
from tests.quick import jit

SPEC = MuesliSpec(rollout_steps=16, num_minibatches=2, learning_rate=5e-3, discount=0.9)


# ---- Numbers as distributions


def test_squash_by_hand_and_back():
    np.testing.assert_allclose(squash(jnp.array([0.0, 3.0, -3.0, 8.0])), [0, 1.003, -1.003, 2.008], rtol=1e-6)
    x = jnp.array([-250.0, -1.0, -1e-3, 0.0, 0.5, 30.0])
    np.testing.assert_allclose(unsquash(squash(x)), x, rtol=1e-3, atol=1e-4)  # float32 loses half its digits to eps


def test_two_bins_share_a_number_by_its_place_between_them():
    bins = TwoHot(-3.0, 3.0, 3)  # at squash(-3), 0 and squash(3), which is 1.003
    np.testing.assert_allclose(bins.encode(jnp.float32(0.0)), [0, 1, 0], atol=1e-6)
    quarter = unsquash(jnp.float32(0.25 * 1.003))
    np.testing.assert_allclose(bins.encode(quarter), [0, 0.75, 0.25], atol=1e-4)
    np.testing.assert_allclose(bins.encode(jnp.float32(100.0)), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(bins.encode(jnp.float32(-100.0)), [1, 0, 0], atol=1e-6)


def test_a_number_is_read_back_from_its_weights():
    bins, x = TwoHot(-10.0, 10.0, 51), jnp.array([-9.9, -0.3, 0.0, 2.7])
    np.testing.assert_allclose(bins.decode(jnp.log(bins.encode(x))), x, rtol=1e-3, atol=1e-3)
    # Of all distributions, a number's own has the least cross-entropy.
    own = bins.cross_entropy(jnp.log(bins.encode(x) + 1e-9), x)
    assert np.all(own < bins.cross_entropy(jnp.log(bins.encode(x + 0.2) + 1e-9), x))


# ---- CMPO


def test_weights_leave_each_action_out_of_its_own_normaliser():
    advantage = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32) * 2
    exponential = np.exp(np.clip(advantage, -1, 1))
    expected = np.empty_like(exponential)
    for row in range(2):
        for k in range(5):
            z = (1.0 + sum(exponential[row, j] for j in range(5) if j != k)) / 5
            expected[row, k] = exponential[row, k] / z
    np.testing.assert_allclose(cmpo_weights(jnp.asarray(advantage), 1.0), expected, rtol=1e-5)


def test_equal_advantages_leave_the_prior_as_it_is():
    np.testing.assert_allclose(cmpo_weights(jnp.zeros((3, 16)), 1.0), 1.0)


@pytest.mark.parametrize("clip", [0.5, 1.0, 2.0])
def test_the_clipped_policy_stays_within_tanh_of_half_the_clip_of_the_prior(clip: float):
    """The bound of Muesli's theorem, and the prior that meets it: the good actions just rare enough."""
    good = round(100_000 / (1 + np.exp(clip)))
    weights = cmpo_weights(jnp.where(jnp.arange(100_000) < good, 100.0, -100.0), clip)
    np.testing.assert_allclose(0.5 * jnp.mean(jnp.abs(weights - 1.0)), np.tanh(clip / 2), rtol=1e-3)
    random = jax.random.normal(jax.random.key(0), (100, 1_000)) * jnp.linspace(0.1, 30, 100)[:, None]
    assert np.all(0.5 * jnp.mean(jnp.abs(cmpo_weights(random, clip) - 1.0), axis=-1) <= np.tanh(clip / 2) + 1e-2)


# ---- Retrace


def test_retrace_against_a_plain_loop():
    rng, steps, rows, discount, trace = np.random.default_rng(1), 7, 3, 0.9, 0.8
    reward, q, next_value = rng.normal(size=(3, steps, rows)).astype(np.float32)
    ratio = rng.uniform(0, 2, (steps, rows)).astype(np.float32)
    end = rng.random((steps, rows)) < 0.3
    expected = np.empty((steps, rows))
    for row in range(rows):
        for t in reversed(range(steps)):
            expected[t, row] = reward[t, row] + discount * next_value[t, row]
            if t + 1 < steps and not end[t, row]:
                surplus = expected[t + 1, row] - q[t + 1, row]
                expected[t, row] += discount * trace * min(1.0, ratio[t + 1, row]) * surplus
    reward, q, next_value, ratio, end = map(jnp.asarray, (reward, q, next_value, ratio, end))
    found = retrace(reward, q, next_value, ratio, end, discount=discount, trace=trace)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    one_step = retrace(reward, q, next_value, ratio, end, discount=discount, trace=0.0)
    np.testing.assert_allclose(one_step, reward + discount * next_value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("reward_range", (1.0, -1.0), "reward_range: got [1.0, -1.0]; expected the lower end first"),
        ("discount", 1.0, "discount: got 1.0; expected less than 1, since values need bounds"),
        ("num_value_bins", 1, "num_value_bins: got 1; expected at least 2"),
        ("advantage_decay", 1.0, "advantage_decay: got 1.0; expected between 0 and 0.9999"),
    ],
)
def test_what_would_divide_by_zero_is_refused(field: str, value, expected: str):
    with pytest.raises(SpecError) as error:
        MuesliSpec(**{field: value})
    assert str(error.value) == expected


# ---- One update


@cache
def muesli(spec: MuesliSpec = SPEC) -> Muesli:
    """Episodes of two trials of five steps, so that rollouts of 16 hold several ends."""
    made = learner(MemoryProbe(), GRUSpec(width=8), spec, num_rows=4, trial_steps=10, trials_per_episode=2)
    assert isinstance(made, Muesli)
    return made


@cache
def collected() -> tuple[LearnerState, Batch]:
    """The second rollout of an agent that has left its prior behind."""
    update = jit(muesli().update)
    state = jit(muesli().init)(jax.random.PRNGKey(0))
    for _ in range(3):
        state, _ = update(state)
    _, batch = jit(muesli().collect)(state.agent, state.carry, key=jax.random.key(1))
    return state, batch


def test_the_first_replay_computes_what_acting_computed():
    state, batch = collected()
    _, metrics = jit(muesli().loss)(muesli().trainable(state.agent), batch)
    assert metrics["ratio_error"] < 1e-5


def test_the_prior_is_run_over_the_same_history_with_a_memory_of_its_own():
    state, batch = collected()
    steps = batch.trajectory
    _, prior = jit(muesli().policy.run)(
        state.agent.prior.policy, state.carry.memory.prior, steps.observation, steps.episode_start
    )
    np.testing.assert_allclose(prior.value, steps.value, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(prior.distribution.log_prob(steps.action), steps.extras.log_prob, rtol=1e-4, atol=1e-5)
    assert np.max(np.abs(steps.extras.log_prob - steps.log_prob)) > 1e-4


def test_what_the_model_says_of_all_actions_alike_changes_no_target():
    """Else a model that is off by a constant moves returns by ``1 / (1 - discount trace)`` times as much."""
    state, _ = collected()

    def learned_from(reward: int) -> Batch:
        """Of a model that always expects the reward of one bin."""
        params = state.agent.prior.model["params"]
        certain = params["reward"] | {"bias": 1e3 * jax.nn.one_hot(reward, SPEC.num_reward_bins)}
        prior = state.agent.prior._replace(model={"params": params | {"reward": certain}})
        agent = state.agent._replace(prior=prior)
        return jit(muesli().collect)(agent, state.carry, key=jax.random.key(1))[1]

    low, high = learned_from(0), learned_from(SPEC.num_reward_bins - 1)
    np.testing.assert_allclose(low.target, high.target, atol=1e-5)
    np.testing.assert_allclose(low.weights, high.weights, atol=1e-5)


def test_the_prior_lags_by_its_rate():
    state, batch = collected()
    one_step = muesli(replace(SPEC, num_minibatches=1))
    agent, _ = jit(one_step.learn)(state.agent, batch, key=jax.random.key(2))
    new, old = one_step.trainable(agent), state.agent.prior
    jax.tree.map(
        lambda prior, new, old: np.testing.assert_allclose(prior, 0.1 * new + 0.9 * old, rtol=1e-5, atol=1e-7),
        agent.prior,
        new,
        old,
    )
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(agent.prior), jax.tree.leaves(old), strict=True))


def test_advantages_are_divided_by_the_root_of_an_unbiased_moving_average():
    made = muesli()
    agent = jit(made.init)(jax.random.PRNGKey(0)).agent
    _, batch = collected()
    learn = jit(made.learn)
    first, metrics = learn(agent, batch, key=jax.random.key(0))
    np.testing.assert_allclose(metrics["advantage_scale"], np.sqrt(np.mean(batch.advantage**2)), rtol=1e-5)
    _, metrics = learn(first, batch._replace(advantage=2 * batch.advantage), key=jax.random.key(0))
    square = np.mean(batch.advantage**2) * (0.99 * 0.01 + 0.01 * 4) / (1 - 0.99**2)
    np.testing.assert_allclose(metrics["advantage_scale"], np.sqrt(square), rtol=1e-4)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    made = muesli(replace(SPEC, cmpo_weight=0.5, model_weight=2.0, value_weight=0.25, reward_weight=4.0))
    state, batch = collected()
    total, terms = jit(made.loss)(made.trainable(state.agent), batch)
    weighted = (
        terms["policy_loss"]
        + 0.5 * terms["cmpo_loss"]
        + 2 * terms["model_loss"]
        + 0.25 * terms["value_loss"]
        + 4 * terms["reward_loss"]
    )
    np.testing.assert_allclose(total, weighted, rtol=1e-6)


def test_every_metric_is_documented():
    state, batch = collected()
    _, metrics = jit(muesli().learn)(state.agent, batch, key=jax.random.key(2))
    documented = documented_keys("metrics.jsonl of Muesli")
    assert documented <= metrics.keys()
    assert metrics.keys() - documented <= documented_keys("metrics.jsonl")


def test_a_longer_unroll_looks_past_no_end_of_an_episode():
    """What stands after an episode's end changes no loss of the model before it."""
    made = muesli(replace(SPEC, model_steps=3))
    state, batch = collected()
    losses = jit(lambda features, batch: made._model_losses(state.agent.model, features, batch))
    features = jax.random.normal(jax.random.key(3), (16, 4, 8))
    end = next(end for end in np.flatnonzero(batch.trajectory.episode_end[:, 0]) if 2 < end < 13)
    # Of the first step of the next episode: only unrolls that ought to have ended would see it.
    changed = batch._replace(weights=batch.weights.at[end + 1].add(batch.trajectory.episode_end[end][:, None] * 100.0))
    np.testing.assert_allclose(
        losses(features, changed)["model_loss"], losses(features, batch)["model_loss"], rtol=1e-6
    )
    inside = batch._replace(weights=batch.weights.at[end].add(100.0))
    assert abs(losses(features, inside)["model_loss"] - losses(features, batch)["model_loss"]) > 1


# ---- What is learned


@cache
def on_memory(model: str) -> float:
    """Return of the last updates on the memory probe, of which 1/2 needs no memory."""
    spec = replace(SPEC, rollout_steps=16, num_minibatches=2, num_epochs=2, learning_rate=1e-2)
    made = learner(
        MemoryProbe(), MODELS[model], spec, num_rows=32, trial_steps=10, trials_per_episode=2, num_updates=120
    )
    return mean_return(train(made)[1], slice(-10, None))


def test_an_agent_with_memory_solves_the_memory_probe_and_one_without_cannot():
    assert on_memory("gru") > 0.95
    assert on_memory("mlp") < 0.6


@cache
def on_actions() -> tuple[LearnerState, dict[str, np.ndarray]]:
    spec = replace(SPEC, rollout_steps=4, num_minibatches=1, num_epochs=2, learning_rate=1e-2, discount=0.0)
    return train(learner(ActionProbe(), MLPSpec(width=16), spec, num_rows=32, trial_steps=1, num_updates=300))


def test_a_continuous_bandit_is_solved():
    """The best action is half of the sign that is shown; the best constant one earns 1/2."""
    _, metrics = on_actions()
    assert mean_return(metrics, slice(-10, None)) > 0.9


def test_the_model_predicts_a_deterministic_reward_better_than_a_constant():
    spec = replace(SPEC, rollout_steps=6, num_epochs=4, learning_rate=1e-2, discount=0.5)
    made = learner(ValueProbe(), MLPSpec(width=16), spec, num_rows=12, trial_steps=2, num_updates=100)
    _, metrics = train(made)
    # Rewards are 1 but for every other step of one task of three, so the best constant errs by at least 1/6.
    assert metrics["reward_error"][-5:].mean() < 0.05
