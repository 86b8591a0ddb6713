"""What all environments of the POPGym suite have in common."""

import abc
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from icrl.envs.environment import Environment
from icrl.types import Key


@dataclass(frozen=True, kw_only=True)
class PopgymEnvironment(Environment):
    """One task, every trial of which is drawn afresh and ends by itself."""

    tasks: tuple[str, ...] = ()
    """The name it goes by in the suite."""

    @property
    @abc.abstractmethod
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """Steps after which a trial has ended at the latest."""

    def sample_task(self, index: jax.Array, *, key: Key) -> tuple[()]:
        """Nothing: popgym draws whatever is hidden when a trial starts."""
        del index, key
        return ()


def plus_or_minus(right: jax.Array) -> jax.Array:
    """1 where right, -1 where wrong."""
    return jnp.where(right, 1.0, -1.0)
