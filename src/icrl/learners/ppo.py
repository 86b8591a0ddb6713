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
from jaxtyping import Array, Int

from icrl.envs.multi import Environments
from icrl.fields import PositiveFloat, PositiveInt
from icrl.learners import losses
from icrl.learners.learner import Metrics
from icrl.learners.on_policy import Agent, Batch, OnPolicy, OnPolicySpec
from icrl.policy import Policy
from icrl.types import Key, PyTree, keys_of_rows


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

    def learn(self, agent: Agent, batch: Batch, *, key: Key) -> tuple[Agent, Metrics]:
        """Several epochs of minibatch gradient steps; metrics are means over them all."""

        def minibatch_step(agent: Agent, rows: jax.Array) -> tuple[Agent, Metrics]:
            return self.gradient_step(agent, take_rows(batch, rows))

        def epoch(agent: Agent, key: Key) -> tuple[Agent, Metrics]:
            return jax.lax.scan(minibatch_step, agent, draw_minibatches(batch.row, self.spec.num_minibatches, key=key))

        agent, metrics = jax.lax.scan(epoch, agent, jax.random.split(key, self.spec.num_epochs))
        first = self._over_devices(jax.lax.pmax, metrics.pop("ratio_error")[0, 0])
        return agent, self._average(jax.tree.map(jnp.mean, metrics)) | {
            "first_ratio_error": first,
            "explained_variance": losses.explained_variance(batch.trajectory.value, batch.target, self._average),
        }

    def loss(self, params: PyTree, batch: Batch) -> tuple[jax.Array, Metrics]:
        """The PPO loss of some rows, replayed from their stored memory."""
        spec, steps = self.spec, batch.trajectory
        _, output = self.policy.run(params, batch.memory, steps.observation, steps.episode_start)
        log_ratio = output.distribution.log_prob(steps.action) - steps.log_prob

        policy_loss = losses.clipped_surrogate(log_ratio, batch.advantage, spec.clip)
        value_clip = spec.clip if spec.clip_value else jnp.inf
        value_loss = losses.clipped_value_loss(output.value, steps.value, batch.target, value_clip)
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


def draw_minibatches(row_B: Int[Array, " B"], num_minibatches: int, *, key: Key) -> Int[Array, "M B//M"]:
    """Positions of the rows of each of M minibatches.

    Every run of M consecutive rows gives one row to each minibatch, at random. So each minibatch holds equally many
    rows of every task, and a device that holds whole runs draws its part without knowing of the others.
    """
    run_key = keys_of_rows(key, row_B[::num_minibatches])
    runs = jnp.arange(len(row_B)).reshape(-1, num_minibatches)
    return jax.vmap(jax.random.permutation)(run_key, runs).T


def take_rows(batch: Batch, rows: Int[Array, " R"]) -> Batch:
    """The minibatch of some rows, for all T steps."""
    by_time = lambda tree: jax.tree.map(lambda x: x[:, rows], tree)  # noqa: E731
    by_row = lambda tree: jax.tree.map(lambda x: x[rows], tree)  # noqa: E731
    return Batch(
        by_row(batch.row),
        by_time(batch.trajectory),
        by_row(batch.memory),
        by_time(batch.advantage),
        by_time(batch.target),
    )
