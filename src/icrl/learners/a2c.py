"""Advantage actor-critic (arXiv 1602.01783), as bsuite's recurrent baseline has it (arXiv 1908.03568): one gradient
step a rollout, TD-lambda for values and advantages alike.

Unlike bsuite's, a rollout has the same number of steps always: an episode's end inside it clears memory and cuts
returns, where bsuite's agent would learn from the shorter piece at once.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from icrl.envs.multi import Environments
from icrl.fields import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from icrl.learners import losses
from icrl.learners.learner import Metrics, Trained
from icrl.learners.on_policy import Batch, OnPolicy, OnPolicySpec
from icrl.policy import Policy
from icrl.types import Key, PyTree


@dataclass(frozen=True)
class A2CSpec(OnPolicySpec):
    """Hyperparameters of A2C; the defaults are those of bsuite's recurrent actor-critic, with the paper's step size."""

    kind: Literal["a2c"] = "a2c"
    rollout_steps: PositiveInt = 32
    """Env steps per row and update; also the length of backpropagation through time."""
    learning_rate: PositiveFloat = 3e-4
    trace: Fraction = 0.9
    """Lambda of the TD errors that serve as advantages, and so of the lambda-returns that values learn."""
    value_weight: NonNegativeFloat = 2.0
    """Of half the squared error: 2 is bsuite's whole squared error."""
    standardize_advantages: bool = False

    def build(self, policy: Policy, environments: Environments, num_updates: int) -> "A2C":
        """The learner for a policy and a batch of environments."""
        return A2C(self, policy, environments, num_updates)


@dataclass(frozen=True)
class A2C(OnPolicy):
    """One step along the policy gradient on every rollout."""

    spec: A2CSpec

    def learn(self, agent: Trained, batch: Batch, *, key: Key) -> tuple[Trained, Metrics]:
        """One gradient step on all rows; nothing is drawn."""
        del key
        agent, metrics = self.gradient_step(agent, batch)
        first = self._over_devices(jax.lax.pmax, metrics.pop("ratio_error"))
        return agent, self._average(metrics) | {"first_ratio_error": first}

    def loss(self, params: PyTree, batch: Batch) -> tuple[jax.Array, Metrics]:
        """The actor-critic loss of a rollout, replayed from its stored memory."""
        spec, steps = self.spec, batch.trajectory
        _, output = self.policy.run(params, batch.memory, steps.observation, steps.episode_start)
        log_prob = output.distribution.log_prob(steps.action)

        policy_loss = losses.policy_gradient(log_prob, batch.advantage)
        value_loss = 0.5 * jnp.mean(jnp.square(output.value - batch.target))
        entropy = jnp.mean(output.distribution.entropy())
        total = policy_loss + spec.value_weight * value_loss - spec.entropy_weight * entropy
        return total, {
            "loss": total,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "ratio_error": jnp.max(jnp.abs(jnp.expm1(log_prob - steps.log_prob))),
        }

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self._learning_rate)
