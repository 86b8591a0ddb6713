"""Proximal policy optimisation (arXiv 1707.06347) for agents with memory, as pure functions of one state.

Backpropagation through time is truncated at the rollout: each update replays whole sequences from the memory stored
at the rollout's start. Minibatches are therefore sets of rows, never pieces of sequences, and the replay computes
exactly what acting computed: in the first epoch every probability ratio is 1.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from icrl.envs.multi import Environments
from icrl.fields import PositiveFloat, PositiveInt
from icrl.learners import losses
from icrl.learners.learner import Metrics, Trained
from icrl.learners.minibatches import over_minibatches
from icrl.learners.on_policy import Batch, OnPolicy, OnPolicySpec
from icrl.policy import Policy
from icrl.types import Key, PyTree


@dataclass(frozen=True)
class PPOSpec(OnPolicySpec):
    """Hyperparameters of PPO."""

    kind: Literal["ppo"] = "ppo"
    num_epochs: PositiveInt = 4
    num_minibatches: PositiveInt = 4
    """Row groups per epoch; must divide the number of rows of a task (and of a device's share of them)."""
    clip: PositiveFloat = 0.2
    clip_value: bool = False
    """Also clip the value loss, by ``clip``."""
    max_gradient_norm: PositiveFloat = 0.5
    privileged_critic: bool = False
    """Judge actions by a second network that sees, beside the agent's memory, what is hidden from the agent (asymmetric
    actor-critic, arXiv 1710.06542). Only training has it; what acts never sees more than without."""

    @property
    def privileged(self) -> bool:
        """As the spec says."""
        return self.privileged_critic

    @property
    def row_groups(self) -> int:
        """The minibatches."""
        return self.num_minibatches

    @property
    def gradient_steps(self) -> int:
        """One a minibatch and epoch."""
        return self.num_epochs * self.num_minibatches

    def build(self, policy: Policy, environments: Environments, num_updates: int) -> "PPO":
        """The learner for a policy and a batch of environments."""
        return PPO(self, policy, environments, num_updates)


@dataclass(frozen=True)
class PPO(OnPolicy):
    """Several epochs of clipped steps on every rollout."""

    spec: PPOSpec

    def learn(self, agent: Trained, batch: Batch, *, key: Key) -> tuple[Trained, Metrics]:
        """Several epochs of minibatch gradient steps; metrics are means over them all."""

        spec = self.spec
        agent, metrics = over_minibatches(
            self.gradient_step, agent, batch, num_epochs=spec.num_epochs, num_minibatches=spec.num_minibatches, key=key
        )
        first = self._over_devices(jax.lax.pmax, metrics.pop("ratio_error")[0, 0])
        return agent, self._average(jax.tree.map(jnp.mean, metrics)) | {
            "first_ratio_error": first,
            "explained_variance": losses.explained_variance(batch.trajectory.value, batch.target, self._average),
        }

    def loss(self, params: PyTree, batch: Batch) -> tuple[jax.Array, Metrics]:
        """The PPO loss of some rows, replayed from their stored memory."""
        spec, steps = self.spec, batch.trajectory
        _, output = self.policy.run(params, batch.memory, steps.observation, steps.episode_start, steps.privileged)
        log_ratio = output.distribution.log_prob(steps.action) - steps.log_prob

        policy_loss = losses.clipped_surrogate(log_ratio, batch.advantage, spec.clip)
        value_clip = spec.clip if spec.clip_value else jnp.inf
        value_loss = losses.clipped_value_loss(output.baseline, steps.value, batch.target, value_clip)
        if output.privileged_value is not None:  # the agent's own value still shapes its memory
            value_loss += losses.clipped_value_loss(output.value, steps.value, batch.target, jnp.inf)
        entropy = jnp.mean(output.distribution.entropy())
        total = policy_loss + spec.value_weight * value_loss - spec.entropy_weight * entropy
        return total, {
            "loss": total,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "approximate_kl": losses.approximate_kl(log_ratio),
            "clip_fraction": losses.clip_fraction(log_ratio, spec.clip),
            "ratio_error": jnp.max(jnp.abs(jnp.expm1(log_ratio))),
        }

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        clip = optax.clip_by_global_norm(self.spec.max_gradient_norm)
        return optax.chain(clip, optax.adam(self._learning_rate, eps=1e-5))
