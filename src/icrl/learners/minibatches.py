"""Several passes over a batch in minibatches of whole rows, as many of every task."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from icrl.learners.learner import Metrics
from icrl.types import Key, keys_of_rows

A = TypeVar("A")
BY_ROW = ("row", "memory")
"""What of a batch has no axis of time."""


def over_minibatches(
    step: Callable[[A, Any], tuple[A, Metrics]],
    agent: A,
    batch: Any,
    *,
    num_epochs: int,
    num_minibatches: int,
    key: Key,
) -> tuple[A, Metrics]:
    """Takes a step on every minibatch of every epoch; gives the last agent and metrics ``[epochs, minibatches]``."""

    def epoch(agent: A, key: Key) -> tuple[A, Metrics]:
        minibatches = draw_minibatches(batch.row, num_minibatches, key=key)
        return jax.lax.scan(lambda agent, rows: step(agent, take_rows(batch, rows)), agent, minibatches)

    return jax.lax.scan(epoch, agent, jax.random.split(key, num_epochs))


def draw_minibatches(row_B: Int[Array, " B"], num_minibatches: int, *, key: Key) -> Int[Array, "M B//M"]:
    """Positions of the rows of each of M minibatches.

    Every run of M consecutive rows gives one row to each minibatch, at random. So each minibatch holds equally many
    rows of every task, and a device that holds whole runs draws its part without knowing of the others.
    """
    run_key = keys_of_rows(key, row_B[::num_minibatches])
    runs = jnp.arange(len(row_B)).reshape(-1, num_minibatches)
    return jax.vmap(jax.random.permutation)(run_key, runs).T


def take_rows(batch: Any, rows: Int[Array, " R"]) -> Any:
    """The minibatch of some rows, for all T steps."""

    def take(name: str, tree: Any) -> Any:
        return jax.tree.map(lambda x: x[rows] if name in BY_ROW else x[:, rows], tree)

    return batch._replace(**{name: take(name, tree) for name, tree in batch._asdict().items()})
