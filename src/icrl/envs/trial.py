"""From single-row environments to batches of episodes (paper, algorithm 1; RL^2, arXiv 1611.02779).

An episode is ``trials_per_episode`` trials of one task. At a trial's end the environment is reset for real, by a fresh
draw; at an episode's end the task is redrawn first. This module alone decides when that happens and raises the flags.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from icrl.envs.environment import Environment
from icrl.envs.spaces import Space
from icrl.types import Key, PyTree, Timestep, any_row, apply_if, select_rows, split_keys


class EpisodeState(NamedTuple):
    """Where every row stands in its episode."""

    task_index: Int[Array, " B"]
    """Which of the environment's tasks the row is bound to."""
    task: PyTree
    """Drawn parameters, leaves ``[B, ...]``."""
    environment: PyTree
    """Simulator state, leaves ``[B, ...]``."""
    step: Int[Array, " B"]
    """Steps taken in this trial."""
    trial: Int[Array, " B"]
    """Trials finished in this episode."""
    trial_return: Float[Array, " B"]
    seen: Float[Array, "B n"] | tuple[()] = ()
    """What the environment last showed, where its change is observed."""


@dataclass(frozen=True)
class Episodes:
    """Batched episodes over one environment.

    The agent's observation is ``[x, change of x, previous reward, trial start, episode start, previous action]``: the
    reward and the flags as in the paper (its done flag, split in two); change, reward and action are optional.
    Previous reward and action survive a trial's start, since they belong to the same context, and are zero at an
    episode's start; the change ``x_t - x_{t-1}`` lies within a trial and is zero at its start.
    """

    environment: Environment
    trial_steps: int
    """Time limit of a trial, in env steps."""
    trials_per_episode: int
    observe_action: bool = True
    """Append the previous (projected) action to the observation."""
    stagger: bool = False
    """Start rows in different trials of their first episode, so that episodes end, and memory is cleared, all along."""
    observe_reward: bool = True
    """Append the previous reward to the observation."""
    observe_previous: bool = False
    """Append the change of what the environment shows since the step before."""
    privileged: bool = False
    """Give what a privileged critic sees: what the environment has for it, and how far trial and episode are."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks rows can be bound to."""
        return self.environment.tasks

    @property
    def action_space(self) -> Space:
        """What `step` accepts, per row."""
        return self.environment.action_space

    @property
    def shown_size(self) -> int:
        """How many numbers, the first that the agent sees, the environment shows: what there is, and its change."""
        return self.environment.observation_size * (1 + self.observe_previous)

    @property
    def observation_size(self) -> int:
        """Length of the vector the agent sees."""
        return self.shown_size + self.observe_reward + 2 + self.observe_action * self.action_space.size

    @property
    def privileged_size(self) -> int:
        """Length of what a privileged critic sees of a row."""
        return self.environment.privileged_size + 2

    def reset(self, task_index: Int[Array, " B"], *, key: Key) -> tuple[EpisodeState, Timestep]:
        """Starts an episode on every row; ``task_index`` binds rows to tasks for good, ``key`` is ``[B]``."""
        batch = task_index.shape[0]
        task, environment, x = self._start_episode(task_index, key=key)
        zeros, false, true = jnp.zeros(batch), jnp.zeros(batch, bool), jnp.ones(batch, bool)
        count = jnp.zeros(batch, jnp.int32)
        observation = self._observe([x, *self._change(x, x)], zeros, true, true, self._action_features(None, batch))
        trial = jnp.arange(batch) % self.trials_per_episode if self.stagger else count
        state = EpisodeState(task_index, task, environment, count, trial, zeros, self._keep(x))
        return state, Timestep(
            observation, true, true, zeros, false, false, observation, trial, zeros, self._privileged(state)
        )

    def step(self, state: EpisodeState, action: Shaped[Array, "B ..."], *, key: Key) -> tuple[EpisodeState, Timestep]:
        """Takes ``action``, a vector or (discrete) an index, on every row, and resets the rows whose trial it ended.

        Like ``action``, ``key`` has one entry a row, ``[B]``.
        """
        batch = state.step.shape[0]
        environment, after = jax.vmap(lambda *row, key: self.environment.step(*row, key=key))(
            state.task, state.environment, action, key=split_keys(key)[0]
        )
        step = state.step + 1
        truncated = (step >= self.trial_steps) & ~after.terminated | after.truncated
        trial_end = after.terminated | truncated
        episode_end = trial_end & (state.trial + 1 >= self.trials_per_episode)

        def restart(now: tuple[PyTree, PyTree, jax.Array]) -> tuple[PyTree, PyTree, jax.Array]:
            return self._restart(state.task_index, *now, trial_end, episode_end, key=split_keys(key)[1])

        task, environment, x = apply_if(any_row(trial_end), restart, (state.task, environment, after.observation))

        trial_return = state.trial_return + after.reward
        false = jnp.zeros(batch, bool)
        features = self._action_features(action, batch)
        change = self._change(after.observation, state.seen)
        timestep = Timestep(
            observation=self._observe(
                [x, *(jnp.where(trial_end[:, None], 0.0, part) for part in change)],
                jnp.where(episode_end, 0.0, after.reward),
                trial_end,
                episode_end,
                jnp.where(episode_end[:, None], 0.0, features),
            ),
            episode_start=episode_end,
            trial_start=trial_end,
            reward=after.reward,
            terminated=after.terminated,
            truncated=truncated,
            final_observation=self._observe([after.observation, *change], after.reward, false, false, features),
            trial=state.trial,
            trial_return=trial_return,
        )
        state = EpisodeState(
            state.task_index,
            task,
            environment,
            jnp.where(trial_end, 0, step),
            jnp.where(episode_end, 0, state.trial + trial_end),
            jnp.where(trial_end, 0.0, trial_return),
            self._keep(x),
        )
        return state, timestep._replace(privileged=self._privileged(state))

    def _start_episode(self, task_index: jax.Array, *, key: Key) -> tuple[PyTree, PyTree, jax.Array]:
        task_key, trial_key = split_keys(key)
        task = self._draw_task(task_index, key=task_key)
        return task, *self._start_trial(task, trial_key)

    def _draw_task(self, task_index: jax.Array, *, key: Key) -> PyTree:
        return jax.vmap(lambda index, key: self.environment.sample_task(index, key=key))(task_index, key)

    @cached_property
    def _start_trial(self) -> Callable[[PyTree, Key], tuple[PyTree, jax.Array]]:
        """Resets the environment on every row; traced once, though an episode's start and each step hold it."""
        return jax.jit(jax.vmap(lambda task, key: self.environment.reset(task, key=key)))

    def _restart(
        self,
        task_index: jax.Array,
        task: PyTree,
        environment: PyTree,
        x: jax.Array,
        trial_end: jax.Array,
        episode_end: jax.Array,
        *,
        key: Key,
    ) -> tuple[PyTree, PyTree, jax.Array]:
        task_key, trial_key = split_keys(key)

        def redraw(task: PyTree) -> PyTree:
            return select_rows(episode_end, self._draw_task(task_index, key=task_key), task)

        task = apply_if(any_row(episode_end), redraw, task)
        fresh = self._start_trial(task, trial_key)
        return task, *select_rows(trial_end, fresh, (environment, x))

    def _observe(self, shown, reward, trial_start, episode_start, action_features) -> jax.Array:
        rewards = [reward] if self.observe_reward else []
        scalars = jnp.stack([*rewards, trial_start, episode_start], axis=-1, dtype=jnp.float32)
        return jnp.concatenate([*shown, scalars, action_features], axis=-1)

    def _change(self, x, seen) -> list[jax.Array]:
        return [x - seen] if self.observe_previous else []

    def _privileged(self, state: EpisodeState) -> jax.Array | tuple[()]:
        """What a privileged critic sees at the next step ``[B, W]``, where there is one."""
        if not self.privileged:
            return ()
        shares = jnp.stack([state.step / self.trial_steps, state.trial / self.trials_per_episode], axis=-1)
        return jnp.concatenate([jax.vmap(self.environment.privileged)(state.task, state.environment), shares], axis=-1)

    def _keep(self, x: jax.Array) -> jax.Array | tuple[()]:
        """What the next step's change is measured from."""
        return x if self.observe_previous else ()

    def _action_features(self, action: jax.Array | None, batch: int) -> jax.Array:
        if not self.observe_action:
            return jnp.zeros((batch, 0))
        if action is None:
            return jnp.zeros((batch, self.action_space.size))
        return self.action_space.features(action)
