"""Environments so small that the right values and policies are known, and how to train on them.

A learner that fails one of them is wrong in what that one isolates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from icrl.envs.environment import Environment
from icrl.envs.multi import Environments
from icrl.envs.spaces import Continuous, Discrete, Space
from icrl.envs.trial import Episodes
from icrl.learners import LearnerSpec
from icrl.learners.learner import Learner, LearnerState, Trained
from icrl.learners.on_policy import Batch
from icrl.learners.ppo import PPOSpec
from icrl.models import DeltaNetSpec, GRUSpec, LSTMSpec, MLPSpec, ModelSpec, S5Spec, TransformerSpec
from icrl.policy import PolicySpec
from icrl.types import Key, Transition
from tests.quick import jit


@dataclass(frozen=True)
class ValueProbe(Environment):
    """Rewards that no action changes, so that values are known; observes the task and whether a step was taken.

    ``one_step`` earns 1 and terminates; ``delayed`` earns 0, then 1, and terminates; ``endless`` earns 1 for ever.
    """

    tasks = ("one_step", "delayed", "endless")
    observation_size = 4
    action_space: Space = Discrete(2)  # noqa: RUF009

    def sample_task(self, index: jax.Array, *, key: Key) -> jax.Array:
        return index

    def reset(self, task: jax.Array, *, key: Key) -> tuple[jax.Array, jax.Array]:
        return jnp.int32(0), self._observe(task, 0)

    def step(self, task: jax.Array, state: jax.Array, action: jax.Array, *, key: Key) -> tuple[jax.Array, Transition]:
        state = state + 1
        reward = jnp.where((task == 1) & (state == 1), 0.0, 1.0)
        terminated = state == jnp.array([1, 2, 0])[task]
        return state, Transition(self._observe(task, state), reward, terminated, jnp.zeros((), bool))

    def _observe(self, task: jax.Array, state) -> jax.Array:
        return jnp.append(jax.nn.one_hot(task, 3), jnp.minimum(state, 1))


@dataclass(frozen=True)
class ActionProbe(Environment):
    """One step: shows a random sign and rewards actions by their closeness to half of it."""

    tasks = ("follow",)
    observation_size = 1
    action_space: Space = Continuous(1)  # noqa: RUF009

    def sample_task(self, index: jax.Array, *, key: Key) -> jax.Array:
        return index

    def reset(self, task: jax.Array, *, key: Key) -> tuple[jax.Array, jax.Array]:
        sign = jax.random.rademacher(key, (), jnp.float32)
        return sign, sign[None]

    def step(self, task: jax.Array, state: jax.Array, action: jax.Array, *, key: Key) -> tuple[jax.Array, Transition]:
        reward = 1 - jnp.abs(action[0] - 0.5 * state)
        return state, Transition(state[None], reward, jnp.ones((), bool), jnp.zeros((), bool))


class Cue(NamedTuple):
    cue: jax.Array  # [] int32: 0 or 1
    steps: jax.Array  # [] int32


@dataclass(frozen=True)
class MemoryProbe(Environment):
    """Shows a cue (-1 or 1) at the first step of a trial and earns 1 if the last action names it.

    Between them lie steps that look alike, and the last one looks the same for both cues: without memory the best
    possible return is 1/2.
    """

    length: int = 5
    """Steps of a trial; the cue is seen ``length - 1`` steps before it is asked for."""

    tasks = ("recall",)
    observation_size = 2
    action_space: Space = Discrete(2)  # noqa: RUF009

    def sample_task(self, index: jax.Array, *, key: Key) -> jax.Array:
        return index

    def reset(self, task: jax.Array, *, key: Key) -> tuple[Cue, jax.Array]:
        state = Cue(jax.random.bernoulli(key).astype(jnp.int32), jnp.int32(0))
        return state, self._observe(state)

    def step(self, task: jax.Array, state: Cue, action: jax.Array, *, key: Key) -> tuple[Cue, Transition]:
        state = Cue(state.cue, state.steps + 1)
        last = state.steps == self.length
        reward = jnp.where(last & (action == state.cue), 1.0, 0.0)
        return state, Transition(self._observe(state), reward, last, jnp.zeros((), bool))

    def _observe(self, state: Cue) -> jax.Array:
        cue = jnp.where(state.steps == 0, 2 * state.cue - 1, 0)
        asked = state.steps == self.length - 1
        return jnp.array([cue, asked], jnp.float32)


def learner(
    environment: Environment,
    model: ModelSpec,
    spec: LearnerSpec,
    *,
    num_rows: int,
    trial_steps: int,
    trials_per_episode: int = 1,
    num_updates: int = 1,
) -> Learner:
    """A learner with a small policy. Previous actions are not observed: they could carry the cue in memory's place."""
    episodes = Episodes(environment, trial_steps, trials_per_episode, observe_action=False)
    environments = Environments((episodes,), num_rows)
    policy = PolicySpec(encoder=(), heads=()).build(model, environments.action_space)
    return spec.build(policy, environments, num_updates)


def train(learner: Learner) -> tuple[LearnerState, dict[str, np.ndarray]]:
    """The trained learner, and its metrics ``[num_updates, ...]``."""

    @jit
    def run(key):
        return jax.lax.scan(lambda state, _: learner.update(state), learner.init(key), length=learner.num_updates)

    return jax.tree.map(np.asarray, run(jax.random.PRNGKey(0)))


def mean_return(metrics: dict[str, np.ndarray], updates: slice) -> float:
    """Mean return of the trials that ended during some updates."""
    return metrics["trial_return_sum"][updates].sum() / metrics["trial_count"][updates].sum()


MODELS_WITH_MEMORY: dict[str, ModelSpec] = {
    "s5": S5Spec(
        width=16,
        num_layers=1,
        state_size=16,
        delta_min=0.01,
        delta_max=0.5,
        b_init="fan_in_normal",
        c_init="fan_in_normal",
    ),
    "gru": GRUSpec(width=16),
    "lstm": LSTMSpec(width=16),
    "deltanet": DeltaNetSpec(width=16, num_heads=2, head_size=8),
    "transformer": TransformerSpec(width=16, num_layers=1, num_heads=2, window=8),
}
MODELS = MODELS_WITH_MEMORY | {"mlp": MLPSpec(width=16)}


@cache
def trained_on_memory(model: str) -> dict[str, np.ndarray]:
    """Metrics of training on `MemoryProbe`, once per process.

    Two trials an episode and 16 steps a rollout, so that episodes start everywhere in rollouts.
    """
    ppo = learner(
        MemoryProbe(),
        MODELS[model],
        PPOSpec(rollout_steps=16, num_minibatches=2, learning_rate=0.005, discount=0.9, entropy_weight=0.01),
        num_rows=32,
        trial_steps=10,
        trials_per_episode=2,
        num_updates=60,
    )
    return train(ppo)[1]


def largest_moves(learn: Callable[..., Any], agent: Trained, batch: Batch, times: int) -> list[float]:
    """How far the parameter that moves most does so each time that the same batch is learned from."""
    moves = []
    for _ in range(times):
        before, (agent, _) = agent.params, learn(agent, batch, key=jax.random.key(3))
        pairs = zip(jax.tree.leaves(agent.params), jax.tree.leaves(before), strict=True)
        moves.append(max(np.max(np.abs(a - b)) for a, b in pairs))
    return moves
