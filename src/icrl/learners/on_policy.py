"""What the policy-gradient learners share: hyperparameters, the agent, and the targets of a rollout.

Backpropagation through time is truncated at the rollout: each update replays whole sequences from the memory stored
at the rollout's start, and the replay computes exactly what acting computed.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int

from icrl.distributions import sample_rows
from icrl.fields import NonNegativeFloat
from icrl.learners import losses
from icrl.learners.learner import Hyperparameters, Learner, Trained
from icrl.learners.returns import generalized_advantage, next_values
from icrl.policy import Policy
from icrl.rollout import Act, Carry, Decision, rollout
from icrl.types import Key, PyTree, Trajectory


@dataclass(frozen=True)
class OnPolicySpec(Hyperparameters):
    """Hyperparameters of the policy-gradient learners."""

    entropy_weight: NonNegativeFloat = 0.0
    standardize_advantages: bool = True
    """Bring advantages to zero mean and unit standard deviation over the rollout."""
    standardize_by_task: bool = True
    """Do so task by task: tasks whose returns vary little then weigh as much as others; so do tasks of which nothing is
    known yet, and whose advantages are noise."""
    termination_ends_return: bool = False
    """A trial's own end ends the return too, though the episode goes on. Where every step earns the same, a fall costs
    nothing otherwise but in an episode's last trials."""


class Batch(NamedTuple):
    """What an update learns from: a trajectory, the memory it starts from, and its targets."""

    row: Int[Array, " B"]
    """As in `Carry`."""
    trajectory: Trajectory
    memory: PyTree
    """Leaves ``[B, ...]``."""
    advantage: Float[Array, "T B"]
    target: Float[Array, "T B"]


def acting(policy: Policy, params: PyTree) -> Act:
    """How a policy acts by itself: it draws actions, and nothing else is asked of it."""

    def act(memory: PyTree, observation: jax.Array, episode_start: jax.Array, key: Key) -> tuple[PyTree, Decision]:
        memory, output = policy.act(params, memory, observation, episode_start)
        action = sample_rows(output.distribution, key=key)
        return memory, Decision(action, output.distribution.log_prob(action), output.value)

    return act


@dataclass(frozen=True)
class OnPolicy(Learner):
    """Learners whose targets are lambda-returns of the rollout just collected.

    A final class adds the optimizer, the loss, and in which steps one batch is learned from.
    """

    spec: OnPolicySpec

    def init_agent(self, carry: Carry, *, key: Key) -> Trained:
        """Fresh parameters."""
        now = carry.timestep
        params = self.policy.init(key, carry.memory, now.observation[None], now.episode_start[None])
        return Trained(params, self._optimizer.init(params))

    def collect(self, agent: Trained, carry: Carry, *, key: Key) -> tuple[Carry, Batch]:
        """Acts for a rollout and computes its targets."""
        spec = self.spec
        act = acting(self.policy, agent.params)
        after, trajectory = rollout(act, self.environments, carry, spec.rollout_steps, key=key)
        now = after.timestep
        _, last = self.policy.act(agent.params, after.memory, now.observation, now.episode_start, now.privileged)
        if last.privileged_value is not None:
            steps = trajectory.observation, trajectory.episode_start, trajectory.privileged
            _, output = self.policy.run(agent.params, carry.memory, *steps)
            trajectory = trajectory._replace(value=output.baseline)
        end = trajectory.episode_end | trajectory.terminated if spec.termination_ends_return else trajectory.episode_end
        following = next_values(trajectory.value, last.baseline, end, trajectory.bootstrap)
        advantage = generalized_advantage(
            spec.reward_scale * trajectory.reward,
            trajectory.value,
            following,
            end,
            discount=spec.discount,
            trace=spec.trace,
        )
        target = advantage + trajectory.value
        if spec.standardize_advantages:
            num_groups = len(self.environments.tasks) if spec.standardize_by_task else 1
            advantage = losses.standardize_groups(advantage, num_groups, self._average)
        return after, Batch(carry.row, trajectory, carry.memory, advantage, target)
