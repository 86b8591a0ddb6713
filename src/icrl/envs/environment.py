"""The interface every environment implements.

An environment is written for a single row and needs no time limit; `icrl.envs.trial` batches it, limits, resets and
counts. Drawing a task and resetting are two functions, so that several trials can share one task.
"""

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from icrl.envs.picture import Picture
from icrl.envs.spaces import Space
from icrl.types import Key, PyTree, Transition


class Environment(abc.ABC):
    """A family of tasks on one simulated body: the tasks share a compiled program and differ in data only.

    Attributes:
        tasks: names of the tasks; a task is drawn by its index in this tuple.
        observation_size: length of the observation vector.
        action_space: what `step` accepts.
        hidden_size: length of what `hidden` gives.
        max_trial_steps: steps after which a trial has ended by itself; None where it may go on for ever.
    """

    tasks: tuple[str, ...]
    observation_size: int
    action_space: Space
    hidden_size: int = 0
    max_trial_steps: int | None = None

    @abc.abstractmethod
    def sample_task(self, index: Int[Array, ""], *, key: Key) -> PyTree:
        """Draws the parameters of task number ``index``: all that stays fixed during an episode."""

    @abc.abstractmethod
    def reset(self, task: PyTree, *, key: Key) -> tuple[PyTree, Float[Array, " O"]]:
        """Starts a trial from a fresh draw; gives the environment state and the first observation."""

    @abc.abstractmethod
    def step(self, task: PyTree, state: PyTree, action: jax.Array, *, key: Key) -> tuple[PyTree, Transition]:
        """Advances one env step. Continuous actions are clipped to [-1, 1] here, not by the caller."""

    def hidden(self, task: PyTree) -> Float[Array, " H"]:
        """What is drawn with a task and not observed, in numbers from -1 to 1 or so: what a specialist is told."""
        del task
        return jnp.zeros(0)

    @property
    def privileged_size(self) -> int:
        """Length of what `privileged` gives."""
        return self.hidden_size

    def privileged(self, task: PyTree, state: PyTree) -> Float[Array, " W"]:
        """What a critic may see that only training has: what is hidden, and the state as far as it says more."""
        del state
        return self.hidden(task)

    def picture(self, task: PyTree, state: PyTree) -> Picture | None:
        """The state as a person sees it, outside of any compiled program; None where there is nothing to draw."""
        del task, state
        return None

    def words(self, task: str) -> str:
        """What a task rewards, to complete "rewarded for"; "" where nobody has put it into words."""
        del task
        return ""


@dataclass(frozen=True)
class Wrapper(Environment):
    """An environment that changes another: what a wrapper does not define is that of the environment within."""

    inner: Environment

    @property
    def tasks(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the environment within."""
        return self.inner.tasks

    @property
    def observation_size(self) -> int:  # type: ignore[override]
        """That of the environment within."""
        return self.inner.observation_size

    @property
    def action_space(self) -> Space:  # type: ignore[override]
        """That of the environment within."""
        return self.inner.action_space

    @property
    def hidden_size(self) -> int:  # type: ignore[override]
        """That of the environment within."""
        return self.inner.hidden_size

    @property
    def max_trial_steps(self) -> int | None:  # type: ignore[override]
        """That of the environment within."""
        return self.inner.max_trial_steps

    def sample_task(self, index: Int[Array, ""], *, key: Key) -> PyTree:
        """Draws a task of the environment within."""
        return self.inner.sample_task(index, key=key)

    def reset(self, task: PyTree, *, key: Key) -> tuple[PyTree, Float[Array, " O"]]:
        """Resets the environment within."""
        return self.inner.reset(task, key=key)

    def step(self, task: PyTree, state: PyTree, action: jax.Array, *, key: Key) -> tuple[PyTree, Transition]:
        """Steps the environment within."""
        return self.inner.step(task, state, action, key=key)

    def hidden(self, task: PyTree) -> Float[Array, " H"]:
        """What the environment within hides."""
        return self.inner.hidden(task)

    @property
    def privileged_size(self) -> int:
        """That of the environment within."""
        return self.inner.privileged_size

    def privileged(self, task: PyTree, state: PyTree) -> Float[Array, " W"]:
        """That of the environment within."""
        return self.inner.privileged(task, state)

    def picture(self, task: PyTree, state: PyTree) -> Picture | None:
        """That of the environment within."""
        return self.inner.picture(task, state)

    def words(self, task: str) -> str:
        """Those of the environment within."""
        return self.inner.words(task)


def group_by_body(tasks: Sequence[str], body_of: Callable[[str], str]) -> list[tuple[str, ...]]:
    """The tasks that share a body, side by side, in the order in which bodies and tasks first appear."""
    grouped: dict[str, list[str]] = {}
    for name in tasks:
        grouped.setdefault(body_of(name), []).append(name)
    return [tuple(names) for names in grouped.values()]
