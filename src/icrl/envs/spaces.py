"""Action spaces."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Continuous:
    """Vectors of ``size`` real numbers. Environments clip them to [-1, 1]; agents need not."""

    size: int

    def zeros(self, *batch: int) -> jax.Array:
        """The action that does nothing, ``[*batch, size]``."""
        return jnp.zeros((*batch, self.size))


@dataclass(frozen=True)
class Discrete:
    """Integers 0 .. ``size`` - 1."""

    size: int

    def zeros(self, *batch: int) -> jax.Array:
        """Choice 0, ``[*batch]``."""
        return jnp.zeros(batch, jnp.int32)


Space = Continuous | Discrete
