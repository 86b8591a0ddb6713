"""Proximal policy optimisation (arXiv 1707.06347) for agents with memory, as pure functions of one state.

Backpropagation through time is truncated at the rollout: each update replays whole sequences from the memory stored
at the rollout's start. Minibatches are therefore sets of rows, never pieces of sequences, and the replay computes
exactly what acting computed: in the first epoch every probability ratio is 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from icrl.distributions import sample_rows
from icrl.envs.multi import Environments
from icrl.errors import SpecError
from icrl.learners import losses
from icrl.learners.returns import generalized_advantage, next_values
from icrl.policy import Policy
from icrl.rollout import Carry, rollout
from icrl.types import Key, PyTree, Trajectory, keys_of_rows


@dataclass(frozen=True)
class PPOSpec:
    """Hyperparameters of PPO."""

    kind: Literal["ppo"] = "ppo"
    rollout_steps: int = 256
    """Env steps per row and update; also the length of backpropagation through time."""
    num_epochs: int = 4
    num_minibatches: int = 4
    """Row groups per epoch; must divide the number of rows of a task (on every device)."""
    learning_rate: float = 1e-3
    anneal_learning_rate: bool = False
    """Decay the learning rate linearly to zero over the run."""
    discount: float = 0.99
    trace: float = 0.95
    """Lambda of generalised advantage estimation."""
    clip: float = 0.2
    clip_value: bool = False
    """Also clip the value loss, by ``clip``."""
    entropy_weight: float = 0.0
    value_weight: float = 0.5
    max_gradient_norm: float = 0.5
    reward_scale: float = 1.0
    """Factor on rewards inside the learner; ``1 - discount`` brings values to the scale of one step's reward."""
    standardize_advantages: bool = True
    """Bring advantages to zero mean and unit standard deviation, over the rollout and task by task."""

    def __post_init__(self) -> None:
        for name in ("rollout_steps", "num_epochs", "num_minibatches"):
            if getattr(self, name) < 1:
                raise SpecError.of(name, got=getattr(self, name), expected="at least 1")
        for name in ("discount", "trace"):
            if not 0 <= getattr(self, name) <= 1:
                raise SpecError.of(name, got=getattr(self, name), expected="between 0 and 1")
        for name in ("entropy_weight", "value_weight"):
            if getattr(self, name) < 0:
                raise SpecError.of(name, got=getattr(self, name), expected="at least 0")
        for name in ("learning_rate", "clip", "max_gradient_norm", "reward_scale"):
            if getattr(self, name) <= 0:
                raise SpecError.of(name, got=getattr(self, name), expected="above 0")

    def build(self, policy: Policy, environments: Environments, num_updates: int) -> "PPO":
        """The learner for a policy and a batch of environments."""
        return PPO(self, policy, environments, num_updates)


class LearnerState(NamedTuple):
    """Everything an update reads and writes; saving it is saving the run."""

    params: PyTree
    optimizer: PyTree
    carry: Carry
    key: Key  # raw uint32 key data; never used itself, only folded with ``update``
    update: jax.Array  # [] int32


class Batch(NamedTuple):
    """What an update learns from: a trajectory, the memory it starts from, and its targets."""

    row: jax.Array  # [B] int32, as in `Carry`
    trajectory: Trajectory  # [T, B, ...]
    memory: PyTree  # [B, ...]
    advantage: jax.Array  # [T, B]
    target: jax.Array  # [T, B]


@dataclass(frozen=True)
class PPO:
    """The learner: `init` gives a state, `update` maps a state to the next and its metrics. Both can be jitted.

    `update` takes the number of rows from the state, so several devices may each update their own share of every
    task's rows, at the same time, under one ``axis``; averages and gradients are then taken over all of them.
    """

    spec: PPOSpec
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
            advantage = losses.standardize_groups(advantage, len(self.environments.tasks), self._average)
        return after, Batch(carry.row, trajectory, carry.memory, advantage, target)

    def learn(
        self, params: PyTree, optimizer: PyTree, batch: Batch, *, key: Key
    ) -> tuple[PyTree, PyTree, dict[str, jax.Array]]:
        """Several epochs of minibatch gradient steps; metrics are means over them all."""

        def gradient_step(carry, rows):
            params, optimizer = carry
            gradients, metrics = jax.grad(self.loss, has_aux=True)(params, take_rows(batch, rows))
            gradients = self._average(gradients)
            updates, optimizer = self._optimizer.update(gradients, optimizer)
            metrics["gradient_norm"] = optax.tree.norm(gradients)
            return (optax.apply_updates(params, updates), optimizer), metrics

        def epoch(carry, key):
            return jax.lax.scan(gradient_step, carry, draw_minibatches(batch.row, self.spec.num_minibatches, key=key))

        (params, optimizer), metrics = jax.lax.scan(
            epoch, (params, optimizer), jax.random.split(key, self.spec.num_epochs)
        )
        first = self._over_devices(jax.lax.pmax, metrics.pop("ratio_error")[0, 0])
        metrics = self._average(jax.tree.map(jnp.mean, metrics)) | {
            "first_ratio_error": first,
            "explained_variance": losses.explained_variance(batch.trajectory.value, batch.target, self._average),
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

    def trial_statistics(self, batch: Batch) -> dict[str, jax.Array]:
        """Sums and counts of the returns of the trials that ended, ``[tasks, trials]``; means are taken outside."""
        trajectory = batch.trajectory
        num_tasks = len(self.environments.tasks)
        num_trials = self.environments.trials_per_episode
        ended = trajectory.terminated | trajectory.truncated
        row_task = batch.row // (self.environments.num_rows // num_tasks)
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

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        spec = self.spec
        rate = spec.learning_rate
        if spec.anneal_learning_rate:
            rate = optax.linear_schedule(rate, 0.0, self.num_updates * spec.num_epochs * spec.num_minibatches)
        return optax.chain(optax.clip_by_global_norm(spec.max_gradient_norm), optax.adam(rate, eps=1e-5))


def draw_minibatches(row_B: jax.Array, num_minibatches: int, *, key: Key) -> jax.Array:
    """Positions of the rows of every minibatch, ``[M, B / M]``.

    Every run of M consecutive rows gives one row to each minibatch, at random. So each minibatch holds equally many
    rows of every task, and a device that holds whole runs draws its part without knowing of the others.
    """
    run_key = keys_of_rows(key, row_B[::num_minibatches])
    runs = jnp.arange(len(row_B)).reshape(-1, num_minibatches)
    return jax.vmap(jax.random.permutation)(run_key, runs).T


def take_rows(batch: Batch, rows: jax.Array) -> Batch:
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
