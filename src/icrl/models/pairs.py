"""Complex numbers as pairs of real ones."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float


def to_halves(z: Complex[Array, "... P"]) -> Float[Array, "... 2*P"]:
    """Real parts, then imaginary parts."""
    return jnp.concatenate([z.real, z.imag], axis=-1)


def to_complex(halves: Float[Array, "... N"]) -> Complex[Array, "... N//2"]:
    """Inverse of `to_halves`."""
    real, imag = jnp.split(halves, 2, axis=-1)
    return jax.lax.complex(real, imag)


class Pair(NamedTuple):
    """Complex numbers as two real arrays ``[..., P]``: XLA computes on these faster than on complex ones or halves."""

    real: jax.Array
    imag: jax.Array

    @classmethod
    def of(cls, halves: jax.Array) -> "Pair":
        """The two halves of ``[..., 2P]``."""
        return cls(*jnp.split(halves, 2, axis=-1))

    @property
    def halves(self) -> jax.Array:
        """Inverse of `of`."""
        return jnp.concatenate(self, axis=-1)

    @property
    def conjugate(self) -> "Pair":
        """Complex conjugate."""
        return Pair(self.real, -self.imag)

    def times(self, other: "Pair") -> "Pair":
        """Complex product."""
        return Pair(
            self.real * other.real - self.imag * other.imag,
            self.real * other.imag + self.imag * other.real,
        )

    def plus(self, other: "Pair") -> "Pair":
        """Sum."""
        return Pair(self.real + other.real, self.imag + other.imag)

    def cleared(self, reset: jax.Array) -> "Pair":
        """Zero where ``reset`` ``[...]`` is set: a choice, not a product, so that nothing infinite survives."""
        return Pair(*(jnp.where(reset[..., None], 0.0, part) for part in self))
