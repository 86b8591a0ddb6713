"""The interface every environment implements (design: interface 2).

An environment is written for a single row and needs no time limit; `icrl.envs.trial` batches it, limits, resets and
counts. Drawing a task and resetting are two functions, so that several trials can share one task.
"""

import abc

import jax

from icrl.envs.spaces import Space
from icrl.types import Key, PyTree, Transition


class Environment(abc.ABC):
    """A family of tasks on one simulated body: the tasks share a compiled program and differ in data only.

    Attributes:
        tasks: names of the tasks; a task is drawn by its index in this tuple.
        observation_size: length of the observation vector.
        action_space: what `step` accepts.
        max_trial_steps: steps after which a trial has ended by itself; None where it may go on for ever.
    """

    tasks: tuple[str, ...]
    observation_size: int
    action_space: Space
    max_trial_steps: int | None = None

    @abc.abstractmethod
    def sample_task(self, index: jax.Array, *, key: Key) -> PyTree:
        """Draws the parameters of task number ``index`` (int32 scalar): all that stays fixed during an episode."""

    @abc.abstractmethod
    def reset(self, task: PyTree, *, key: Key) -> tuple[PyTree, jax.Array]:
        """Starts a trial from a fresh draw; gives the environment state and the first observation ``[O]``."""

    @abc.abstractmethod
    def step(self, task: PyTree, state: PyTree, action: jax.Array, *, key: Key) -> tuple[PyTree, Transition]:
        """Advances one env step. Continuous actions are clipped to [-1, 1] here, not by the caller."""
