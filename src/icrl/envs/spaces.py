"""Action spaces."""

import abc
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from icrl.types import Key


@dataclass(frozen=True)
class Space(abc.ABC):
    """What an environment's `step` accepts."""

    size: int
    """Length of the vector that stands for an action: `features` gives it, `nearest` takes it."""

    @abc.abstractmethod
    def zeros(self, *batch: int) -> jax.Array:
        """The action that does nothing, or choice 0."""

    @abc.abstractmethod
    def sample(self, *, key: Key) -> jax.Array:
        """One action, uniformly."""

    @abc.abstractmethod
    def features(self, action: jax.Array) -> jax.Array:
        """An action as the agent observes it, ``[*batch, size]``."""

    @abc.abstractmethod
    def nearest(self, vector: jax.Array) -> jax.Array:
        """The action that a vector ``[size]`` stands for."""


@dataclass(frozen=True)
class Continuous(Space):
    """Vectors of ``size`` real numbers. Environments clip them to [-1, 1]; agents need not."""

    def zeros(self, *batch: int) -> jax.Array:
        """The action that does nothing, ``[*batch, size]``."""
        return jnp.zeros((*batch, self.size))

    def sample(self, *, key: Key) -> jax.Array:
        """Uniform on [-1, 1]."""
        return jax.random.uniform(key, (self.size,), minval=-1.0, maxval=1.0)

    def features(self, action: jax.Array) -> jax.Array:
        """The action, clipped to [-3, 3]."""
        return jnp.clip(action, -3.0, 3.0)

    def nearest(self, vector: jax.Array) -> jax.Array:
        """The vector itself."""
        return vector


@dataclass(frozen=True)
class Discrete(Space):
    """Integers 0 .. ``size`` - 1."""

    def zeros(self, *batch: int) -> jax.Array:
        """Choice 0, ``[*batch]``."""
        return jnp.zeros(batch, jnp.int32)

    def sample(self, *, key: Key) -> jax.Array:
        """Any choice, evenly."""
        return jax.random.randint(key, (), 0, self.size)

    def features(self, action: jax.Array) -> jax.Array:
        """One-hot, ``[*batch, size]``."""
        return jax.nn.one_hot(action, self.size)

    def nearest(self, vector: jax.Array) -> jax.Array:
        """The index of the largest coordinate."""
        return jnp.argmax(vector)
