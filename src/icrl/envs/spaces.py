"""Action spaces."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from icrl.types import Key


@dataclass(frozen=True)
class Continuous:
    """Vectors of ``size`` real numbers. Environments clip them to [-1, 1]; agents need not."""

    size: int

    def zeros(self, *batch: int) -> jax.Array:
        """The action that does nothing, ``[*batch, size]``."""
        return jnp.zeros((*batch, self.size))

    def sample(self, *, key: Key) -> jax.Array:
        """Uniform on [-1, 1]."""
        return jax.random.uniform(key, (self.size,), minval=-1.0, maxval=1.0)

    def features(self, action: jax.Array) -> jax.Array:
        """The action as an agent observes it, ``[*batch, size]``: clipped to [-3, 3]."""
        return jnp.clip(action, -3.0, 3.0)

    def nearest(self, vector: jax.Array) -> jax.Array:
        """The action that a vector ``[size]`` stands for: itself."""
        return vector


@dataclass(frozen=True)
class Discrete:
    """Integers 0 .. ``size`` - 1."""

    size: int

    def zeros(self, *batch: int) -> jax.Array:
        """Choice 0, ``[*batch]``."""
        return jnp.zeros(batch, jnp.int32)

    def sample(self, *, key: Key) -> jax.Array:
        """Any choice, evenly."""
        return jax.random.randint(key, (), 0, self.size)

    def features(self, action: jax.Array) -> jax.Array:
        """The choice as an agent observes it, ``[*batch, size]``: one-hot."""
        return jax.nn.one_hot(action, self.size)

    def nearest(self, vector: jax.Array) -> jax.Array:
        """The choice that a vector ``[size]`` stands for: its largest coordinate."""
        return jnp.argmax(vector)


Space = Continuous | Discrete
