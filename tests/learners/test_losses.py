"""Loss terms and diagnostics by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.learners import losses

BOTH = pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["plain", "jit"])

# Ratio and advantage: beyond the clip (0.2) to the good, to the bad, and inside it.
LOG_RATIO = jnp.log(jnp.array([[1.5, 0.5, 1.0], [1.5, 0.5, 1.1]]))
ADVANTAGE = jnp.array([[1.0, 1.0, 2.0], [-1.0, -1.0, 1.0]])


@BOTH
def test_clipped_surrogate_takes_the_worse_of_both_products(wrap):
    loss = wrap(lambda *inputs: losses.clipped_surrogate(*inputs, 0.2))(LOG_RATIO, ADVANTAGE)
    np.testing.assert_allclose(loss, -(1.2 + 0.5 + 2.0 - 1.5 - 0.8 + 1.1) / 6, rtol=1e-6)


def test_clipped_surrogate_stops_pushing_once_the_ratio_is_far_enough():
    gradient = jax.grad(losses.clipped_surrogate)(LOG_RATIO, ADVANTAGE, 0.2)
    # -ratio * advantage / 6, but zero where the clipped product is the smaller one.
    np.testing.assert_allclose(gradient, [[0, -0.5 / 6, -2 / 6], [1.5 / 6, 0, -1.1 / 6]], rtol=1e-5)


@BOTH
def test_clipped_value_loss_takes_the_worse_of_both_errors(wrap):
    value, old, target = jnp.array([[1.0], [0.2]]), jnp.zeros((2, 1)), jnp.array([[2.0], [1.0]])
    loss = lambda clip: wrap(partial(losses.clipped_value_loss, clip=clip))(value, old, target)  # noqa: E731
    # Moved by at most 0.5: errors (2 - 0.5)^2 and (1 - 0.2)^2.
    np.testing.assert_allclose(loss(0.5), 0.5 * (2.25 + 0.64) / 2, rtol=1e-6)
    np.testing.assert_allclose(loss(jnp.inf), 0.5 * (1.0 + 0.64) / 2, rtol=1e-6)


def test_unclipped_value_loss_has_the_gradient_of_half_the_squared_error():
    value, target = jnp.array([[1.0, 0.2]]), jnp.array([[2.0, 1.0]])
    gradient = jax.grad(losses.clipped_value_loss)(value, jnp.zeros((1, 2)), target, jnp.inf)
    np.testing.assert_allclose(gradient, (value - target) / 2, rtol=1e-6)


@BOTH
def test_approximate_kl_by_hand(wrap):
    log_ratio = jnp.log(jnp.array([[1.0, 2.0]]))
    np.testing.assert_allclose(wrap(losses.approximate_kl)(log_ratio), (1 - np.log(2)) / 2, rtol=1e-5)


def test_approximate_kl_is_exact_in_expectation():
    # Under a uniform old policy the mean over all choices is the expectation.
    new = np.array([[0.1, 0.2, 0.3, 0.4]])
    np.testing.assert_allclose(losses.approximate_kl(jnp.log(new / 0.25)), np.sum(0.25 * np.log(0.25 / new)), rtol=1e-5)


def test_approximate_kl_resolves_tiny_changes():
    log_ratio = jnp.full((1, 3), 1e-3)
    np.testing.assert_allclose(losses.approximate_kl(log_ratio), 0.5e-6, rtol=0.1)


@BOTH
def test_clip_fraction_counts_ratios_beyond_the_clip(wrap):
    log_ratio = jnp.log(jnp.array([[1.0, 1.19, 1.21], [0.81, 0.79, 5.0]]))
    np.testing.assert_allclose(wrap(partial(losses.clip_fraction, clip=0.2))(log_ratio), 3 / 6)


@BOTH
def test_explained_variance_by_hand(wrap):
    explained, target = wrap(losses.explained_variance), jnp.array([[0.0, 2.0]])
    np.testing.assert_allclose(explained(target, target), 1)
    np.testing.assert_allclose(explained(jnp.array([[5.0, 5.0]]), target), 0, atol=1e-6)
    np.testing.assert_allclose(explained(jnp.array([[0.0, 1.0]]), target), 0.75)
    assert np.isfinite(explained(jnp.array([[0.0, 1.0]]), jnp.zeros((1, 2))))


@BOTH
def test_every_group_of_rows_is_standardized_by_itself(wrap):
    standardize = wrap(lambda x_TB: losses.standardize_groups(x_TB, 2))
    # Two groups of two rows: 1, 3, 3, 1 and 10, 10, 30, 30.
    x_TB = jnp.array([[1.0, 3.0, 10.0, 10.0], [3.0, 1.0, 30.0, 30.0]])
    np.testing.assert_allclose(standardize(x_TB), [[-1, 1, -1, -1], [1, -1, 1, 1]], rtol=1e-6)
    np.testing.assert_array_equal(standardize(jnp.full((2, 4), 7.0)), 0)
