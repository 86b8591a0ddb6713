"""The data that flows between environments, policies and learners.

Shape legend, used as name suffixes wherever a shape changes:
    T time (steps of a rollout), B batch rows, O observation, A action, H model width, P state pairs, S seeds.
Everything is time-major: ``reward_TB``, ``observation_TBO``. Signatures say shapes and dtypes with jaxtyping's types;
tests check them at every call (``tests/signatures.py``).

Words: step < trial (one run of the environment from reset to its termination or time limit)
< episode (``trials_per_episode`` trials of one task; memory is cleared and the task redrawn at its start).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

PyTree = Any
Key = jax.Array
T = TypeVar("T")


def type_of(leaf: Any) -> str:
    """Dtype and shape of an array, or of what stands for one, such as `float32[64,3]`."""
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


class Transition(NamedTuple):
    """What one environment reports after one step, for a single row.

    ``terminated`` means the trial reached an end of its own (no value beyond it); ``truncated`` means it was merely
    stopped. Both are false inside a trial and never both true.
    """

    observation: Float[Array, " O"]
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


class Timestep(NamedTuple):
    """What the agent receives at a step, and how the step before it ended, for a batch of rows.

    ``observation`` already belongs to the new trial where one has just started; ``final_observation`` is what the
    agent would have seen had the old one gone on, and is what a truncated episode bootstraps from.
    """

    observation: Float[Array, "B O"]
    episode_start: Bool[Array, " B"]
    """Memory is cleared before this step."""
    trial_start: Bool[Array, " B"]
    """First step of a trial."""
    reward: Float[Array, " B"]
    """Earned by the action before this step."""
    terminated: Bool[Array, " B"]
    """That action ended the trial by itself."""
    truncated: Bool[Array, " B"]
    """That action reached the trial's time limit."""
    final_observation: Float[Array, "B O"]
    trial: Int[Array, " B"]
    """Index of the trial that ``reward`` belongs to."""
    trial_return: Float[Array, " B"]
    """That trial's return so far, this reward included."""
    privileged: Float[Array, "B W"] | tuple[()] = ()
    """What a privileged critic sees beside the observation, where there is one."""


class Trajectory(NamedTuple):
    """A rollout of T steps on B rows: everything the learners and the evaluation read.

    At index t stand the observation, the action taken on it, and what followed from that action.
    """

    observation: Float[Array, "T B O"]
    episode_start: Bool[Array, "T B"]
    action: Float[Array, "T B A"] | Int[Array, "T B"]
    """A vector, or the index of a choice."""
    log_prob: Float[Array, "T B"]
    """Log density of the action under the acting policy, nats."""
    value: Float[Array, "T B"]
    """Estimate when acting."""
    reward: Float[Array, "T B"]
    """Earned by the action."""
    terminated: Bool[Array, "T B"]
    """The action ended the trial."""
    truncated: Bool[Array, "T B"]
    """The action reached the time limit."""
    episode_end: Bool[Array, "T B"]
    """The action ended the episode: the next step starts a new one."""
    bootstrap: Float[Array, "T B"]
    """Value of the final observation where an episode was truncated, else 0."""
    trial: Int[Array, "T B"]
    """Index of the trial within the episode."""
    trial_return: Float[Array, "T B"]
    """Return of the trial up to and including this reward."""
    privileged: Float[Array, "T B W"] | tuple[()] = ()
    """As in `Timestep`."""
    extras: PyTree = ()
    """What else the agent said when acting and its learner asks for, such as a distribution; leaves ``[T, B, ...]``."""


def keys_of_rows(key: Key, row_B: Int[Array, " B"]) -> Key:
    """One key a row ``[B]``, from the rows' own numbers: a row draws the same wherever, and beside whom, it runs."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, row_B)


def split_keys(key_B: Key, num: int = 2) -> list[Key]:
    """``num`` independent keys for every row, each ``[B]``."""
    split_BN = jax.vmap(lambda key: jax.random.split(key, num))(key_B)
    return [split_BN[:, index] for index in range(num)]


@jax.custom_batching.custom_vmap
def any_row(mask_B: Bool[Array, " B"]) -> Bool[Array, ""]:
    """Whether any row is marked. Under ``vmap`` one answer for all that is mapped over.

    As the predicate of `apply_if` or ``lax.cond`` it therefore stays a scalar there: what is rare stays rare, where a
    mapped predicate would have it computed for every row and step. Whoever uses it must choose row by row inside.
    """
    return jnp.any(mask_B)


@any_row.def_vmap
def _any_row_of_all(axis_size: int, in_batched: list[bool], mask: Bool[Array, "..."]) -> tuple[jax.Array, bool]:
    del axis_size, in_batched
    return any_row(mask.reshape(-1)), False


def apply_if(needed: Bool[Array, ""], f: Callable[[T], T], x: T) -> T:
    """``f(x)`` where ``needed``, else ``x``, of which nothing is then computed or moved: a loop of at most one turn.

    A `lax.cond` would copy, at every step, whatever the branch not needed just passes on: of an environment's state an
    accelerator spends a tenth of a step's kernels on it. What a loop carries stays where it lies.
    """

    def turn(carry: tuple[jax.Array, T]) -> tuple[jax.Array, T]:
        needed, x = carry
        return jnp.zeros_like(needed), f(x)

    return jax.lax.while_loop(lambda carry: carry[0], turn, (needed, x))[1]


def select_rows(mask_B: Bool[Array, " B"], on_true: PyTree, on_false: PyTree) -> PyTree:
    """Row-wise choice between two trees of ``[B, ...]`` leaves; a choice, not a product, so NaN cannot leak."""

    def leaf(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(mask_B.reshape(mask_B.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(leaf, on_true, on_false)
