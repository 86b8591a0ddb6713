"""The precision of matrix products: learning says of a step what acting said, to rounding, which on a GPU is TF32's."""

import jax
import pytest

from icrl.learners.ppo import PPOSpec
from icrl.models import S5Spec
from icrl.policy import PolicySpec
from icrl.timing.idle import idle_environments
from tests.quick import jit


@pytest.mark.parametrize(("precision", "tolerance"), [("highest", 1e-4), ("default", 2e-2)])
def test_the_first_ratio_is_one_to_the_rounding_of_the_products(precision: str, tolerance: float):
    environments = idle_environments(8, trial_steps=8, trials_per_episode=2)
    policy = PolicySpec(encoder=(32,), heads=(32,), matmul_precision=precision)
    learner = PPOSpec(rollout_steps=32, num_epochs=1).build(
        policy.build(S5Spec(width=32, state_size=32), environments.action_space), environments, 1
    )
    _, metrics = jit(learner.update)(jit(learner.init)(jax.random.PRNGKey(0)))
    assert 0 < metrics["first_ratio_error"] < (tolerance if jax.default_backend() == "gpu" else 1e-4)
