"""What every learner is: what acts and learns, how it starts, and what one update makes of it.

To add a learner, subclass `Learner`: say what its agent is made of, how it collects a batch, and how it learns from it.
Seeds, devices, checkpoints, logging and evaluation know nothing more of it than stands here.
"""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int

from icrl.envs.multi import Environments
from icrl.fields import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Spec
from icrl.policy import Policy
from icrl.rollout import Carry
from icrl.types import Key, PyTree, Trajectory

Reduction = Literal["mean", "max", "sum"]
Metrics = dict[str, jax.Array]


@runtime_checkable
class Agent(Protocol):
    """What a learner improves: a NamedTuple of its own, say with an optimiser's state or a target copy."""

    @property
    def params(self) -> PyTree:
        """The parameters that act, as `Policy.run` takes them."""
        ...


@runtime_checkable
class Batch(Protocol):
    """What a learner learns from: a NamedTuple of its own."""

    @property
    def row(self) -> Int[Array, " B"]:
        """As in `Carry`."""
        ...

    @property
    def trajectory(self) -> Trajectory:
        """The rollout."""
        ...


class Trained(NamedTuple):
    """Parameters and the state of their optimiser."""

    params: PyTree
    optimizer: PyTree


class LearnerState(NamedTuple):
    """Everything an update reads and writes; saving it is saving the run."""

    agent: Any
    """An `Agent`; of several devices that share the rows, each has the same."""
    carry: Carry
    """Where the next rollout starts. All of it is by row, ``[B, ...]``, and devices share it by rows."""
    key: Key
    """Raw uint32 key data; never used itself, only folded with ``update``."""
    update: Int[Array, ""]


@dataclass(frozen=True)
class Hyperparameters(Spec):
    """Those of every learner."""

    rollout_steps: PositiveInt = 256
    """Env steps per row and update; also the length of backpropagation through time."""
    learning_rate: PositiveFloat = 1e-3
    anneal_learning_rate: bool = False
    """Decay the learning rate linearly to zero over the run."""
    discount: Fraction = 0.99
    trace: Fraction = 0.95
    """Lambda: how far returns and advantages look beyond the next step's value."""
    value_weight: NonNegativeFloat = 0.5
    reward_scale: PositiveFloat = 1.0
    """Factor on rewards inside the learner; ``1 - discount`` brings values to the scale of one step's reward."""

    def network(self, policy: Policy) -> Policy:
        """The policy with the heads that this learner learns."""
        return policy

    @property
    def privileged(self) -> bool:
        """Whether training has a critic that sees what is hidden."""
        return False

    @property
    def row_groups(self) -> int:
        """Parts of equal size into which a learner divides the rows of every task."""
        return 1

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of one update."""
        return 1


@dataclass(frozen=True)
class Learner(abc.ABC):
    """A learner: `init` gives a state, `update` maps a state to the next and its metrics. Both can be jitted.

    `update` takes the number of rows from the state, so several devices may each update their own share of every
    task's rows, under one ``axis``; averages and gradients are then taken over all of them.
    """

    spec: Hyperparameters
    policy: Policy
    environments: Environments
    num_updates: int
    """Length of the run, for annealing."""
    axis: str | None = None
    """The mapped axis of devices that share the batch, if there is one."""

    reductions: ClassVar[Mapping[str, Reduction]] = {
        "trial_return_sum": "sum",
        "trial_count": "sum",
        "first_ratio_error": "max",
    }
    """How `reduce` makes one of a metric of several updates, where not by their mean."""

    def init(self, key: Key) -> LearnerState:
        """A fresh agent in freshly reset environments; ``key`` is raw key data, as from ``jax.random.PRNGKey``."""
        agent_key, environment_key, run_key = jax.random.split(key, 3)
        environment, timestep = self.environments.reset(key=environment_key)
        num_rows = self.environments.num_rows
        carry = Carry(jnp.arange(num_rows), environment, timestep, self.initial_memory(num_rows))
        return LearnerState(self.init_agent(carry, key=agent_key), carry, run_key, jnp.int32(0))

    def update(self, state: LearnerState) -> tuple[LearnerState, Metrics]:
        """Collects one rollout and learns from it."""
        rollout_key, learn_key = jax.random.split(jax.random.fold_in(state.key, state.update))
        carry, batch = self.collect(state.agent, state.carry, key=rollout_key)
        agent, metrics = self.learn(state.agent, batch, key=learn_key)
        metrics |= self.trial_statistics(batch)
        return LearnerState(agent, carry, state.key, state.update + 1), metrics

    def initial_memory(self, num_rows: int) -> PyTree:
        """Memory at a run's start, leaves ``[B, ...]``; a learner may carry more than the policy's."""
        return self.policy.initial_memory(num_rows)

    def reduce(self, name: str, values: np.ndarray) -> np.ndarray:
        """One value of a metric of several updates, ``[updates, ...]``."""
        return np.asarray(getattr(values, self.reductions.get(name, "mean"))(axis=0))

    @abc.abstractmethod
    def init_agent(self, carry: Carry, *, key: Key) -> Agent:
        """A fresh agent, for rows like those of ``carry``."""

    @abc.abstractmethod
    def collect(self, agent: Any, carry: Carry, *, key: Key) -> tuple[Carry, Batch]:
        """Acts for one rollout; gives where it ended, and what there is to learn from it."""

    @abc.abstractmethod
    def learn(self, agent: Any, batch: Any, *, key: Key) -> tuple[Any, Metrics]:
        """Improves the agent on a batch; gives it and scalar metrics."""

    @abc.abstractmethod
    def loss(self, params: PyTree, batch: Any) -> tuple[jax.Array, Metrics]:
        """The loss of some rows as a function of what gradients are taken in, and scalar metrics."""

    def gradient_step(self, trained: Trained, batch: Any) -> tuple[Trained, Metrics]:
        """One step along the gradient of all devices; but for its norm, metrics are of this device's rows."""
        gradients, metrics = jax.grad(self.loss, has_aux=True)(trained.params, batch)
        gradients = self._average(gradients)
        updates, optimizer = self._optimizer.update(gradients, trained.optimizer)
        params = optax.apply_updates(trained.params, updates)
        return Trained(params, optimizer), metrics | {"gradient_norm": optax.tree.norm(gradients)}

    def trainable(self, agent: Any) -> PyTree:
        """What `loss` takes gradients in."""
        return agent.params

    def trial_statistics(self, batch: Batch) -> Metrics:
        """Sums and counts of the returns of the trials that ended, ``[tasks, trials]``; means are taken outside."""
        trajectory = batch.trajectory
        shape = len(self.environments.tasks), self.environments.trials_per_episode
        ended = trajectory.terminated | trajectory.truncated
        at = batch.row // self.environments.rows_per_task, trajectory.trial
        statistics = {
            "trial_return_sum": jnp.zeros(shape).at[at].add(jnp.where(ended, trajectory.trial_return, 0.0)),
            "trial_count": jnp.zeros(shape).at[at].add(ended.astype(jnp.float32)),
        }
        return self._over_devices(jax.lax.psum, statistics)

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

    def _average(self, tree: PyTree) -> PyTree:
        return self._over_devices(jax.lax.pmean, tree)

    def _over_devices(self, reduce: Callable[[PyTree, str], PyTree], tree: PyTree) -> PyTree:
        return tree if self.axis is None else reduce(tree, self.axis)
