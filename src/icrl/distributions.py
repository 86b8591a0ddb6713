"""Action distributions: parameters in, samples and densities out."""

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
