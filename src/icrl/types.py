"""The data that flows between environments, policies and learners.

Shape legend, used as name suffixes wherever a shape changes:
    T time (steps of a rollout), B batch rows, O observation, A action, H model width, P state pairs, S seeds.
Everything is time-major: ``reward_TB``, ``observation_TBO``.

Words: step < trial (one run of the environment from reset to its termination or time limit)
< episode (``trials_per_episode`` trials of one task; memory is cleared and the task redrawn at its start).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

PyTree = Any
Key = jax.Array


class Transition(NamedTuple):
    """What one environment reports after one step, for a single row.

    ``terminated`` means the trial reached an end of its own (no value beyond it); ``truncated`` means it was merely
    stopped. Both are false inside a trial and never both true.
    """

    observation: jax.Array  # [O]
    reward: jax.Array  # [] float32
    terminated: jax.Array  # [] bool
    truncated: jax.Array  # [] bool


class Timestep(NamedTuple):
    """What the agent receives at a step, and how the step before it ended, for a batch of rows.

    ``observation`` already belongs to the new trial where one has just started; ``final_observation`` is what the
    agent would have seen had the old one gone on, and is what a truncated episode bootstraps from.
    """

    observation: jax.Array  # [B, O] float32
    episode_start: jax.Array  # [B] bool: memory is cleared before this step
    trial_start: jax.Array  # [B] bool: first step of a trial
    reward: jax.Array  # [B] float32: earned by the action before this step
    terminated: jax.Array  # [B] bool: that action ended the trial by itself
    truncated: jax.Array  # [B] bool: that action reached the trial's time limit
    final_observation: jax.Array  # [B, O] float32
    trial: jax.Array  # [B] int32: index of the trial that ``reward`` belongs to
    trial_return: jax.Array  # [B] float32: that trial's return so far, this reward included


class Trajectory(NamedTuple):
    """A rollout of T steps on B rows: everything the learners and the evaluation read.

    At index t stand the observation, the action taken on it, and what followed from that action.
    """

    observation: jax.Array  # [T, B, O]
    episode_start: jax.Array  # [T, B] bool
    action: jax.Array  # [T, B, A] float32, or [T, B] int32 for discrete actions
    log_prob: jax.Array  # [T, B] log density of the action under the acting policy
    value: jax.Array  # [T, B] value estimate when acting
    reward: jax.Array  # [T, B] earned by the action
    terminated: jax.Array  # [T, B] the action ended the trial
    truncated: jax.Array  # [T, B] the action reached the time limit
    episode_end: jax.Array  # [T, B] the action ended the episode: the next step starts a new one
    bootstrap: jax.Array  # [T, B] value of the final observation where an episode was truncated, else 0
    trial: jax.Array  # [T, B] int32 trial index within the episode
    trial_return: jax.Array  # [T, B] return of the trial up to and including this reward


def keys_of_rows(key: Key, row_B: jax.Array) -> Key:
    """One key a row ``[B]``, from the rows' own numbers: a row draws the same wherever, and beside whom, it runs."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, row_B)


def split_keys(key_B: Key, num: int = 2) -> list[Key]:
    """``num`` independent keys for every row, each ``[B]``."""
    split_BN = jax.vmap(lambda key: jax.random.split(key, num))(key_B)
    return [split_BN[:, index] for index in range(num)]


def select_rows(mask_B: jax.Array, on_true: PyTree, on_false: PyTree) -> PyTree:
    """Row-wise choice between two trees of ``[B, ...]`` leaves; a choice, not a product, so NaN cannot leak."""

    def leaf(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(mask_B.reshape(mask_B.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(leaf, on_true, on_false)
