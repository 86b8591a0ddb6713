"""One step of A2C, checked against its definition, and A2C on environments with known answers."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.learners.a2c import A2C, A2CSpec
from icrl.learners.learner import Learner, LearnerState
from icrl.learners.on_policy import Batch
from icrl.models import GRUSpec, MLPSpec, ModelSpec
from tests.envs.counting import Counting
from tests.learners.probes import MemoryProbe, largest_moves, learner, mean_return, train
from tests.quick import jit

SPEC = A2CSpec(rollout_steps=10, discount=0.9, entropy_weight=0.01, reward_scale=0.5)


def a2c() -> A2C:
    counting = Counting(tasks=("endless", "ends_at_2"), terminates_at=(0, 2))
    built = learner(counting, GRUSpec(width=8), SPEC, num_rows=4, trial_steps=3, trials_per_episode=2)
    assert isinstance(built, A2C)
    return built


LEARNER = a2c()


@cache
def collected() -> tuple[LearnerState, Batch]:
    """A second rollout, so that memory is under way when it starts."""
    state = jit(LEARNER.init)(jax.random.PRNGKey(0))
    collect = jit(LEARNER.collect)
    carry, _ = collect(state.agent, state.carry, key=jax.random.key(1))
    carry, batch = collect(state.agent, carry, key=jax.random.key(2))
    return state._replace(carry=carry), batch


def test_the_loss_is_that_of_bsuites_actor_critic():
    state, batch = collected()
    steps = batch.trajectory
    total, metrics = jit(LEARNER.loss)(state.agent.params, batch)
    # Replayed, probabilities and values are those of acting, so the loss is known from the rollout alone.
    td_errors = np.asarray(batch.target - steps.value)
    policy_loss = -np.mean(np.asarray(steps.log_prob) * td_errors)
    np.testing.assert_allclose(metrics["policy_loss"], policy_loss, rtol=1e-4)
    np.testing.assert_allclose(total, policy_loss + np.mean(td_errors**2) - 0.01 * metrics["entropy"], rtol=1e-4)
    assert metrics["ratio_error"] < 1e-5


def test_an_update_is_one_step_of_adam_on_the_whole_rollout():
    state, batch = collected()
    agent, metrics = jit(LEARNER.learn)(state.agent, batch, key=jax.random.key(3))
    gradients, _ = jit(jax.grad(LEARNER.loss, has_aux=True))(state.agent.params, batch)
    norm = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(gradients)))
    np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-4)
    # The first step of Adam is lr * g / (|g| + eps), whatever its decay rates; no gradient is clipped.
    expected = jax.tree.map(lambda p, g: p - 3e-4 * g / (np.abs(g) + 1e-8), state.agent.params, gradients)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-6), agent.params, expected)


def test_an_annealed_learning_rate_reaches_zero_after_the_last_update():
    state, batch = collected()
    annealed = replace(LEARNER, spec=replace(SPEC, anneal_learning_rate=True), num_updates=2)
    fresh = jit(annealed.init)(jax.random.PRNGKey(0)).agent
    moves = largest_moves(jit(annealed.learn), state.agent._replace(optimizer=fresh.optimizer), batch, 3)
    np.testing.assert_allclose(moves[0], SPEC.learning_rate, rtol=1e-2)  # Adam's first step is the learning rate
    assert 0 < moves[1] < moves[0]
    assert moves[2] == 0


def test_advantages_are_the_errors_of_the_values_they_improve():
    _, batch = collected()
    np.testing.assert_allclose(batch.advantage, batch.target - batch.trajectory.value, atol=1e-5)


def on_memory(model: ModelSpec) -> Learner:
    spec = A2CSpec(rollout_steps=16, learning_rate=0.005, discount=0.9)
    return learner(MemoryProbe(length=3), model, spec, num_rows=32, trial_steps=10, num_updates=150)


@pytest.mark.parametrize(("model", "least", "most"), [(GRUSpec(width=16), 0.9, 1.0), (MLPSpec(width=16), 0.4, 0.6)])
def test_a_model_recalls_the_cue_if_it_has_a_memory(model: ModelSpec, least: float, most: float):
    _, metrics = train(on_memory(model))
    assert 0.4 < mean_return(metrics, slice(0, 2)) < 0.6
    assert least < mean_return(metrics, slice(-10, None)) <= most


def test_updates_differ_though_learning_draws_nothing():
    update = jit(LEARNER.update)
    state, _ = collected()
    first, metrics = update(state)
    _, other = update(state._replace(update=jnp.int32(1)))
    assert first.update == 1
    assert other["loss"] != metrics["loss"]
