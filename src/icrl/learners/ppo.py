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
from icrl.errors import SpecError
from icrl.learners import losses
from icrl.learners.on_policy import Batch, OnPolicy, OnPolicySpec
from icrl.policy import Policy
from icrl.types import Key, PyTree


@dataclass(frozen=True)
class PPOSpec(OnPolicySpec):
    """Hyperparameters of PPO."""

    kind: Literal["ppo"] = "ppo"
    num_epochs: int = 4
    num_minibatches: int = 4
    """Row groups per epoch; must divide the number of rows."""
    anneal_learning_rate: bool = False
    """Decay the learning rate linearly to zero over the run."""
    clip: float = 0.2
    clip_value: bool = False
    """Also clip the value loss, by ``clip``."""
    max_gradient_norm: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_epochs", "num_minibatches"):
            if getattr(self, name) < 1:
                raise SpecError.of(name, got=getattr(self, name), expected="at least 1")
        for name in ("clip", "max_gradient_norm"):
            if getattr(self, name) <= 0:
                raise SpecError.of(name, got=getattr(self, name), expected="above 0")

    def build(self, policy: Policy, environments: Environments, num_updates: int) -> "PPO":
        """The learner for a policy and a batch of environments."""
        return PPO(self, policy, environments, num_updates)


@dataclass(frozen=True)
class PPO(OnPolicy):
    """Several epochs of clipped steps on every rollout."""

    spec: PPOSpec

    def learn(
        self, params: PyTree, optimizer: PyTree, batch: Batch, *, key: Key
    ) -> tuple[PyTree, PyTree, dict[str, jax.Array]]:
        """Several epochs of minibatch gradient steps; metrics are means over them all."""
        num_rows, num_minibatches = self.environments.num_rows, self.spec.num_minibatches

        def gradient_step(carry, rows):
            params, optimizer = carry
            gradients, metrics = jax.grad(self.loss, has_aux=True)(params, take_rows(batch, rows))
            updates, optimizer = self._optimizer.update(gradients, optimizer)
            metrics["gradient_norm"] = optax.tree.norm(gradients)
            return (optax.apply_updates(params, updates), optimizer), metrics

        def shuffled(key):
            return jax.random.permutation(key, num_rows).reshape(num_minibatches, -1)

        rows = jax.vmap(shuffled)(jax.random.split(key, self.spec.num_epochs)).reshape(-1, num_rows // num_minibatches)
        (params, optimizer), metrics = jax.lax.scan(gradient_step, (params, optimizer), rows)
        first = metrics.pop("ratio_error")[0]
        metrics = jax.tree.map(jnp.mean, metrics) | {
            "first_ratio_error": first,
            "explained_variance": losses.explained_variance(batch.trajectory.value, batch.target),
        }
        return params, optimizer, metrics

    def loss(self, params: PyTree, batch: Batch) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The PPO loss of some rows, replayed from their stored memory."""
        spec, steps = self.spec, batch.trajectory
        _, distribution, value = self.policy.run(params, batch.memory, steps.observation, steps.episode_start)
        log_ratio = distribution.log_prob(steps.action) - steps.log_prob

        policy_loss = losses.clipped_surrogate(log_ratio, batch.advantage, spec.clip)
        value_clip = spec.clip if spec.clip_value else jnp.inf
        value_loss = losses.clipped_value_loss(value, steps.value, batch.target, value_clip)
        entropy = jnp.mean(distribution.entropy())
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
        spec = self.spec
        rate = spec.learning_rate
        if spec.anneal_learning_rate:
            rate = optax.linear_schedule(rate, 0.0, self.num_updates * spec.num_epochs * spec.num_minibatches)
        return optax.chain(optax.clip_by_global_norm(spec.max_gradient_norm), optax.adam(rate, eps=1e-5))


def take_rows(batch: Batch, rows: jax.Array) -> Batch:
    """The minibatch of some rows, for all T steps."""
    by_time = lambda tree: jax.tree.map(lambda x: x[:, rows], tree)  # noqa: E731
    memory = jax.tree.map(lambda x: x[rows], batch.memory)
    return Batch(by_time(batch.trajectory), memory, by_time(batch.advantage), by_time(batch.target))
