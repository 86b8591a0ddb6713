"""Loss terms and diagnostics of the policy-gradient learners. Scalars are means over all steps and rows."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Average = Callable[[jax.Array], jax.Array]
"""Averages over the devices that hold equal shares of a batch; on one device, the identity."""


def policy_gradient(log_prob: Float[Array, "T B"], advantage: Float[Array, "T B"]) -> Float[Array, ""]:
    """``-E[A log pi(a)]``, whose gradient is the policy gradient's, negated (arXiv 1602.01783, section 4)."""
    return -jnp.mean(log_prob * advantage)


def clipped_surrogate(log_ratio: Float[Array, "T B"], advantage: Float[Array, "T B"], clip: float) -> Float[Array, ""]:
    """PPO's clipped objective, negated (arXiv 1707.06347, equation 7)."""
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1 - clip, 1 + clip)
    return -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))


def clipped_value_loss(
    value: Float[Array, "T B"], old_value: Float[Array, "T B"], target: Float[Array, "T B"], clip: float
) -> Float[Array, ""]:
    """Half the squared error, pessimistic about moves beyond ``clip`` from the old value (PPO's reference code)."""
    moved = old_value + jnp.clip(value - old_value, -clip, clip)
    return 0.5 * jnp.mean(jnp.maximum(jnp.square(value - target), jnp.square(moved - target)))


def approximate_kl(log_ratio: Float[Array, "T B"]) -> Float[Array, ""]:
    """``E[(r - 1) - log r]``: unbiased, never negative (Schulman, "Approximating KL divergence", 2020)."""
    return jnp.mean(jnp.expm1(log_ratio) - log_ratio)


def clip_fraction(log_ratio: Float[Array, "T B"], clip: float) -> Float[Array, ""]:
    """Share of samples whose ratio left ``[1 - clip, 1 + clip]``."""
    return jnp.mean(jnp.abs(jnp.expm1(log_ratio)) > clip)


def explained_variance(
    value: Float[Array, "T B"], target: Float[Array, "T B"], average: Average = lambda x: x
) -> Float[Array, ""]:
    """``1 - Var(target - value) / Var(target)``: 1 is perfect, 0 no better than a constant."""

    def variance(x):
        return average(jnp.mean(jnp.square(x - average(jnp.mean(x)))))

    return 1 - variance(target - value) / jnp.maximum(variance(target), 1e-12)


def standardize_groups(
    x_TB: Float[Array, "T B"], num_groups: int, average: Average = lambda x: x
) -> Float[Array, "T B"]:
    """Zero mean and unit standard deviation within each of ``num_groups`` equal blocks of rows.

    With a group per task, tasks whose returns vary little learn as fast as those whose returns vary much.
    """
    x_TGR = x_TB.reshape(x_TB.shape[0], num_groups, -1)
    centred_TGR = x_TGR - average(jnp.mean(x_TGR, axis=(0, 2), keepdims=True))
    variance = average(jnp.mean(jnp.square(centred_TGR), axis=(0, 2), keepdims=True))
    return (centred_TGR / (jnp.sqrt(variance) + 1e-8)).reshape(x_TB.shape)


def cmpo_weights(advantage: Float[Array, "... N"], clip: float, z_init: float = 1.0) -> Float[Array, "... N"]:
    """``exp(clip(adv_k, -c, c)) / z_k`` of N actions drawn from the prior (arXiv 2104.06159, equations 7 and 11).

    The clipped MPO policy is the prior times these. ``z_k = (z_init + sum_{j != k} exp(clip(adv_j))) / N``: each action
    is left out of its own normaliser, so that the estimate of the gradient has no bias from it.
    """
    exponential = jnp.exp(jnp.clip(advantage, -clip, clip))
    others = jnp.sum(exponential, axis=-1, keepdims=True) - exponential
    return exponential * advantage.shape[-1] / (z_init + others)
