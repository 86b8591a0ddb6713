"""What learners that learn from their own latest rollout share: hyperparameters, state, and the rollout's targets.

Backpropagation through time is truncated at the rollout: each update replays whole sequences from the memory stored
at the rollout's start, and the replay computes exactly what acting computed.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from icrl.distributions import sample_rows
from icrl.envs.multi import Environments
from icrl.fields import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Spec
from icrl.learners import losses
from icrl.learners.returns import generalized_advantage, next_values
from icrl.policy import Policy
from icrl.rollout import Carry, rollout
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


class LearnerState(NamedTuple):
    """Everything an update reads and writes; saving it is saving the run."""

    params: PyTree
    optimizer: PyTree
    carry: Carry
    key: Key
    """Raw uint32 key data; never used itself, only folded with ``update``."""
    update: Int[Array, ""]


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
class OnPolicy(abc.ABC):
    """A learner: `init` gives a state, `update` maps a state to the next and its metrics. Both can be jitted.

    A final class adds the optimizer and how one batch is learned from. `update` takes the number of rows from the
    state, so several devices may each update their own share of every task's rows, under one ``axis``; averages and
    gradients are then taken over all of them.
    """

    spec: OnPolicySpec
    policy: Policy
    environments: Environments
    num_updates: int
    """Length of the run, for annealing."""
    axis: str | None = None
    """The mapped axis of devices that share the batch, if there is one."""

    def init(self, key: Key) -> LearnerState:
        """A fresh agent in freshly reset environments; ``key`` is raw key data, as from ``jax.random.PRNGKey``."""
        params_key, environment_key, run_key = jax.random.split(key, 3)
        environment, timestep = self.environments.reset(key=environment_key)
        memory = self.policy.initial_memory(self.environments.num_rows)
        params = self.policy.init(params_key, memory, timestep.observation[None], timestep.episode_start[None])
        carry = Carry(jnp.arange(self.environments.num_rows), environment, timestep, memory)
        return LearnerState(params, self._optimizer.init(params), carry, run_key, jnp.int32(0))

    def update(self, state: LearnerState) -> tuple[LearnerState, dict[str, jax.Array]]:
        """Collects one rollout and learns from it."""
        rollout_key, learn_key = jax.random.split(jax.random.fold_in(state.key, state.update))
        carry, batch = self.collect(state.params, state.carry, key=rollout_key)
        params, optimizer, metrics = self.learn(state.params, state.optimizer, batch, key=learn_key)
        metrics |= self.trial_statistics(batch)
        return LearnerState(params, optimizer, carry, state.key, state.update + 1), metrics

    def collect(self, params: PyTree, carry: Carry, *, key: Key) -> tuple[Carry, Batch]:
        """Acts with ``params`` for a rollout and computes its targets."""
        spec = self.spec

        def act(memory, observation, episode_start, key):
            memory, distribution, value = self.policy.act(params, memory, observation, episode_start)
            action = sample_rows(distribution, key=key)
            return memory, action, distribution.log_prob(action), value

        after, trajectory = rollout(act, self.environments, carry, spec.rollout_steps, key=key)
        last_value = self.policy.act(params, after.memory, after.timestep.observation, after.timestep.episode_start)[2]
        following = next_values(trajectory.value, last_value, trajectory.episode_end, trajectory.bootstrap)
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

    @abc.abstractmethod
    def learn(
        self, params: PyTree, optimizer: PyTree, batch: Batch, *, key: Key
    ) -> tuple[PyTree, PyTree, dict[str, jax.Array]]:
        """Improves ``params`` on a batch; gives them, the optimizer's state and scalar metrics."""

    @abc.abstractmethod
    def loss(self, params: PyTree, batch: Batch) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss of some rows, replayed from their stored memory, and scalar metrics."""

    def gradient_step(
        self, params: PyTree, optimizer: PyTree, batch: Batch
    ) -> tuple[PyTree, PyTree, dict[str, jax.Array]]:
        """One step along the gradient of all devices; but for its norm, metrics are of this device's rows."""
        gradients, metrics = jax.grad(self.loss, has_aux=True)(params, batch)
        gradients = self._average(gradients)
        updates, optimizer = self._optimizer.update(gradients, optimizer)
        return optax.apply_updates(params, updates), optimizer, metrics | {"gradient_norm": optax.tree.norm(gradients)}

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

    def trial_statistics(self, batch: Batch) -> dict[str, jax.Array]:
        """Sums and counts of the returns of the trials that ended, ``[tasks, trials]``; means are taken outside."""
        trajectory = batch.trajectory
        num_tasks = len(self.environments.tasks)
        num_trials = self.environments.trials_per_episode
        ended = trajectory.terminated | trajectory.truncated
        row_task = batch.row // self.environments.rows_per_task
        place = row_task * num_trials + trajectory.trial
        zeros = jnp.zeros(num_tasks * num_trials)
        sums = zeros.at[place].add(jnp.where(ended, trajectory.trial_return, 0.0))
        counts = zeros.at[place].add(ended.astype(jnp.float32))
        shape = (num_tasks, num_trials)
        statistics = {"trial_return_sum": sums.reshape(shape), "trial_count": counts.reshape(shape)}
        return self._over_devices(jax.lax.psum, statistics)

    def _average(self, tree: PyTree) -> PyTree:
        return self._over_devices(jax.lax.pmean, tree)

    def _over_devices(self, reduce: Callable[[PyTree, str], PyTree], tree: PyTree) -> PyTree:
        return tree if self.axis is None else reduce(tree, self.axis)
