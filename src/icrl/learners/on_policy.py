"""What the policy-gradient learners share: hyperparameters, the agent, and the targets of a rollout.

Backpropagation through time is truncated at the rollout: each update replays whole sequences from the memory stored
at the rollout's start, and the replay computes exactly what acting computed.
"""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import optax
from jaxtyping import Array, Float, Int

from icrl.distributions import sample_rows
from icrl.fields import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Spec
from icrl.learners import losses
from icrl.learners.learner import Learner, Metrics, Reduction
from icrl.learners.returns import generalized_advantage, next_values
from icrl.rollout import Carry, Decision, rollout
from icrl.types import Key, PyTree, Trajectory


@dataclass(frozen=True)
class OnPolicySpec(Spec):
    """Hyperparameters of every learner on its own rollouts."""

    rollout_steps: PositiveInt = 256
    """Env steps per row and update; also the length of backpropagation through time."""
    learning_rate: PositiveFloat = 1e-3
    anneal_learning_rate: bool = False
    """Decay the learning rate linearly to zero over the run."""
    discount: Fraction = 0.99
    trace: Fraction = 0.95
    """Lambda of generalised advantage estimation, and so of the lambda-returns that values learn."""
    entropy_weight: NonNegativeFloat = 0.0
    value_weight: NonNegativeFloat = 0.5
    reward_scale: PositiveFloat = 1.0
    """Factor on rewards inside the learner; ``1 - discount`` brings values to the scale of one step's reward."""
    standardize_advantages: bool = True
    """Bring advantages to zero mean and unit standard deviation over the rollout."""
    standardize_by_task: bool = True
    """Do so task by task: tasks whose returns vary little then weigh as much as others; so do tasks of which nothing is
    known yet, and whose advantages are noise."""

    @property
    def row_groups(self) -> int:
        """Parts of equal size into which a learner divides the rows of every task."""
        return 1

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of one update."""
        return 1


class Agent(NamedTuple):
    """The policy's parameters and their optimiser's state."""

    params: PyTree
    optimizer: PyTree


class Batch(NamedTuple):
    """What an update learns from: a trajectory, the memory it starts from, and its targets."""

    row: Int[Array, " B"]
    """As in `Carry`."""
    trajectory: Trajectory
    memory: PyTree
    """Leaves ``[B, ...]``."""
    advantage: Float[Array, "T B"]
    target: Float[Array, "T B"]


@dataclass(frozen=True)
class OnPolicy(Learner):
    """Learners whose targets are lambda-returns of the rollout just collected.

    A final class adds the optimizer, the loss, and in which steps one batch is learned from.
    """

    spec: OnPolicySpec

    reductions: ClassVar[Mapping[str, Reduction]] = {**Learner.reductions, "first_ratio_error": "max"}

    def init_agent(self, carry: Carry, *, key: Key) -> Agent:
        """Fresh parameters."""
        now = carry.timestep
        params = self.policy.init(key, carry.memory, now.observation[None], now.episode_start[None])
        return Agent(params, self._optimizer.init(params))

    def collect(self, agent: Agent, carry: Carry, *, key: Key) -> tuple[Carry, Batch]:
        """Acts for a rollout and computes its targets."""
        spec = self.spec

        def act(memory, observation, episode_start, key):
            memory, output = self.policy.act(agent.params, memory, observation, episode_start)
            action = sample_rows(output.distribution, key=key)
            return memory, Decision(action, output.distribution.log_prob(action), output.value)

        after, trajectory = rollout(act, self.environments, carry, spec.rollout_steps, key=key)
        now = after.timestep
        _, last = self.policy.act(agent.params, after.memory, now.observation, now.episode_start)
        following = next_values(trajectory.value, last.value, trajectory.episode_end, trajectory.bootstrap)
        advantage = generalized_advantage(
            spec.reward_scale * trajectory.reward,
            trajectory.value,
            following,
            trajectory.episode_end,
            discount=spec.discount,
            trace=spec.trace,
        )
        target = advantage + trajectory.value
        if spec.standardize_advantages:
            num_groups = len(self.environments.tasks) if spec.standardize_by_task else 1
            advantage = losses.standardize_groups(advantage, num_groups, self._average)
        return after, Batch(carry.row, trajectory, carry.memory, advantage, target)

    def gradient_step(self, agent: Agent, batch: Batch) -> tuple[Agent, Metrics]:
        """One step along the gradient of all devices; but for its norm, metrics are of this device's rows."""
        gradients, metrics = jax.grad(self.loss, has_aux=True)(agent.params, batch)
        gradients = self._average(gradients)
        updates, optimizer = self._optimizer.update(gradients, agent.optimizer)
        params = optax.apply_updates(agent.params, updates)
        return Agent(params, optimizer), metrics | {"gradient_norm": optax.tree.norm(gradients)}

    @property
    @abc.abstractmethod
    def _optimizer(self) -> optax.GradientTransformation:
        """What turns gradients into steps."""

    @property
    def _learning_rate(self) -> optax.ScalarOrSchedule:
        """The learning rate of every gradient step."""
        spec = self.spec
        if not spec.anneal_learning_rate:
            return spec.learning_rate
        return optax.linear_schedule(spec.learning_rate, 0.0, self.num_updates * spec.gradient_steps)
