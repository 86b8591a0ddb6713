"""PPO on environments with known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.learners.ppo import PPOSpec
from icrl.models import MLPSpec
from tests.learners.probes import (
    MODELS,
    MODELS_WITH_MEMORY,
    ActionProbe,
    ValueProbe,
    learner,
    mean_return,
    train,
    trained_on_memory,
)
from tests.quick import jit

DISCOUNT = 0.5


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    """Per task the learned values of the first step of a trial and of the one after it."""
    ppo = learner(
        ValueProbe(),
        MLPSpec(width=16, num_layers=1),
        PPOSpec(
            rollout_steps=8,
            num_minibatches=1,
            learning_rate=0.03,
            anneal_learning_rate=True,
            discount=DISCOUNT,
            standardize_advantages=False,
        ),
        num_rows=12,
        trial_steps=2,
        num_updates=100,
    )
    state, _ = train(ppo)

    @jit
    def first_and_second(key):
        environment, first = ppo.environments.reset(key=key)
        _, second = ppo.environments.step(environment, jnp.zeros(12, jnp.int32), key=jax.random.split(key, 12))
        seen = jnp.stack([first.observation, second.observation])
        return ppo.policy.run(state.agent.params, (), seen, jnp.zeros((2, 12), bool))[1].value

    value_TB = np.asarray(first_and_second(jax.random.key(1)))
    row_task = ppo.environments.row_task
    return {task: value_TB[:, row_task == index].mean(1) for index, task in enumerate(ppo.environments.tasks)}


def test_a_terminated_step_is_worth_its_reward(values: dict[str, np.ndarray]):
    np.testing.assert_allclose(values["one_step"][0], 1, atol=0.01)


def test_what_comes_a_step_later_is_discounted_once(values: dict[str, np.ndarray]):
    np.testing.assert_allclose(values["delayed"], [DISCOUNT, 1], atol=0.01)


def test_truncation_does_not_cut_the_value_of_what_would_have_followed(values: dict[str, np.ndarray]):
    np.testing.assert_allclose(values["endless"], 1 / (1 - DISCOUNT), atol=0.01)


def test_the_policy_learns_which_action_is_rewarded():
    ppo = learner(
        ActionProbe(),
        MLPSpec(width=16, num_layers=1),
        PPOSpec(rollout_steps=4, num_minibatches=1, learning_rate=0.02),
        num_rows=32,
        trial_steps=2,
        num_updates=60,
    )
    _, metrics = train(ppo)
    assert mean_return(metrics, slice(0, 1)) < 0.4
    assert mean_return(metrics, slice(-5, None)) > 0.8


@pytest.mark.parametrize("model", MODELS_WITH_MEMORY)
def test_a_model_with_memory_recalls_the_cue(model: str):
    metrics = trained_on_memory(model)
    assert 0.4 < mean_return(metrics, slice(0, 2)) < 0.6
    assert mean_return(metrics, slice(-10, None)) > 0.9


def test_a_model_without_memory_stays_at_chance():
    assert 0.4 < mean_return(trained_on_memory("mlp"), slice(-10, None)) < 0.6


@pytest.mark.parametrize("model", MODELS)
def test_replay_computes_what_acting_computed(model: str):
    """In the first epoch every probability ratio is 1, across episode starts and for trained parameters."""
    assert trained_on_memory(model)["first_ratio_error"].max() < 1e-5
