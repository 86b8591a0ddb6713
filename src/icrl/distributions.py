"""Action distributions: parameters in, samples and densities out."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from icrl.types import Key


@runtime_checkable
class Distribution(Protocol):
    """What a learner needs of an action distribution; all methods keep leading axes."""

    def sample(self, *, key: Key) -> jax.Array:
        """Draws an action."""
        ...

    def mode(self) -> jax.Array:
        """The likeliest action."""
        ...

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log density (or log probability) of ``action``, nats."""
        ...

    def entropy(self) -> jax.Array:
        """Entropy, nats."""
        ...


def sample_rows(distribution: Distribution, *, key: Key) -> jax.Array:
    """One draw for every row of a distribution ``[B, ...]``, each from its own key ``[B]``."""
    return jax.vmap(lambda row, key: row.sample(key=key))(distribution, key)


class Normal(NamedTuple):
    """Independent normal coordinates."""

    mean: Float[Array, "... A"]
    log_std: Float[Array, "... A"]

    def sample(self, *, key: Key) -> jax.Array:
        """``mean + std * noise``."""
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self) -> jax.Array:
        """The mean."""
        return self.mean

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Sum over coordinates."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * jnp.square(z) - self.log_std - 0.5 * jnp.log(2 * jnp.pi), axis=-1)

    def entropy(self) -> jax.Array:
        """Sum over coordinates."""
        return jnp.sum(self.log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e), axis=-1)


class Categorical(NamedTuple):
    """One of K choices, from unnormalised log probabilities."""

    logits: Float[Array, "... K"]

    def sample(self, *, key: Key) -> jax.Array:
        """An int32 index."""
        return jax.random.categorical(key, self.logits)

    def mode(self) -> jax.Array:
        """The first of the likeliest indices."""
        return jnp.argmax(self.logits, axis=-1)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log probability of the index."""
        return jnp.take_along_axis(jax.nn.log_softmax(self.logits), action[..., None], axis=-1)[..., 0]

    def entropy(self) -> jax.Array:
        """``-sum p log p``."""
        log_p = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)


@dataclass(frozen=True)
class TwoHot:
    """Numbers as weights of two neighbouring bins, evenly spaced after `squash` (arXiv 1911.08265, appendix F)."""

    low: float
    high: float
    """The range; what lies beyond it is taken for its nearer end."""
    num_bins: int

    @property
    def _bins(self) -> Float[Array, " K"]:
        low, high = squash(jnp.array([self.low, self.high], jnp.float32))
        return jnp.linspace(low, high, self.num_bins)

    def encode(self, x: Float[Array, "..."]) -> Float[Array, "... K"]:
        """Weights of at most two bins, whose mean is ``squash(x)``."""
        bins = self._bins
        squashed = jnp.clip(squash(x), bins[0], bins[-1])[..., None]
        return jnp.maximum(0.0, 1.0 - jnp.abs(squashed - bins) / (bins[1] - bins[0]))

    def decode(self, logits: Float[Array, "... K"]) -> Float[Array, "..."]:
        """The number that the mean of the bins stands for."""
        return unsquash(jax.nn.softmax(logits) @ self._bins)

    def cross_entropy(self, logits: Float[Array, "... K"], x: Float[Array, "..."]) -> Float[Array, "..."]:
        """``-sum_k encode(x)_k log softmax(logits)_k``, nats."""
        return -jnp.sum(self.encode(x) * jax.nn.log_softmax(logits), axis=-1)


SQUASH_SLOPE = 1e-3


def squash(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """``h(x) = sign(x) (sqrt(|x| + 1) - 1) + eps x``, eps = 1e-3 (arXiv 1805.11593, proposition A.2)."""
    return jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1) - 1) + SQUASH_SLOPE * x


def unsquash(y: Float[Array, "..."]) -> Float[Array, "..."]:
    """The inverse of `squash`: ``sign(y) (((sqrt(1 + 4 eps (|y| + 1 + eps)) - 1) / (2 eps))^2 - 1)``."""
    eps = SQUASH_SLOPE
    root = (jnp.sqrt(1 + 4 * eps * (jnp.abs(y) + 1 + eps)) - 1) / (2 * eps)
    return jnp.sign(y) * (jnp.square(root) - 1)
