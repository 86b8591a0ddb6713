"""Action distributions against SciPy and against their own samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from icrl.distributions import Categorical, Normal

NUM_SAMPLES = 20_000
RNG = np.random.default_rng(0)
MEAN, STD = RNG.normal(size=(2, 3)).astype(np.float32), RNG.uniform(0.2, 2, (2, 3)).astype(np.float32)
LOGITS = RNG.normal(size=(2, 4)).astype(np.float32)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
NORMAL, CATEGORICAL = Normal(jnp.asarray(MEAN), jnp.log(STD)), Categorical(jnp.asarray(LOGITS))


def samples(distribution: Normal | Categorical) -> np.ndarray:
    keys = jax.random.split(jax.random.key(0), NUM_SAMPLES)
    return np.asarray(jax.jit(jax.vmap(lambda key: distribution.sample(key=key)))(keys))


def test_normal_log_density_is_the_sum_of_scipys():
    action = RNG.normal(size=(5, 2, 3)).astype(np.float32)
    expected = stats.norm(MEAN, STD).logpdf(action).sum(-1)
    np.testing.assert_allclose(NORMAL.log_prob(jnp.asarray(action)), expected, rtol=1e-5)


def test_normal_entropy_is_the_sum_of_scipys():
    np.testing.assert_allclose(NORMAL.entropy(), stats.norm(MEAN, STD).entropy().sum(-1), rtol=1e-5)


def test_normal_samples_have_its_mean_and_spread():
    drawn = samples(NORMAL)
    np.testing.assert_allclose(drawn.mean(0), MEAN, atol=4 * STD.max() / np.sqrt(NUM_SAMPLES))
    np.testing.assert_allclose(drawn.std(0), STD, rtol=4 / np.sqrt(2 * NUM_SAMPLES))
    correlation = np.corrcoef(drawn.reshape(NUM_SAMPLES, -1).T)
    np.testing.assert_allclose(correlation, np.eye(6), atol=5 / np.sqrt(NUM_SAMPLES))


def test_categorical_log_probability_is_the_logarithm_of_the_softmax():
    expected = np.log([PROBABILITIES[0, 3], PROBABILITIES[1, 0]])
    np.testing.assert_allclose(CATEGORICAL.log_prob(jnp.array([3, 0])), expected, rtol=1e-5)


def test_categorical_entropy_is_scipys():
    np.testing.assert_allclose(CATEGORICAL.entropy(), stats.entropy(PROBABILITIES, axis=-1), rtol=1e-5)


def test_categorical_samples_have_its_frequencies():
    drawn = samples(CATEGORICAL)
    assert drawn.dtype == np.int32
    frequencies = np.stack([np.bincount(row, minlength=4) / NUM_SAMPLES for row in drawn.T])
    np.testing.assert_allclose(frequencies, PROBABILITIES, atol=2 / np.sqrt(NUM_SAMPLES))


@pytest.mark.parametrize(
    ("distribution", "mode"), [(NORMAL, MEAN), (CATEGORICAL, LOGITS.argmax(-1))], ids=["normal", "categorical"]
)
def test_no_action_is_likelier_than_the_mode(distribution, mode):
    np.testing.assert_array_equal(distribution.mode(), mode)
    log_prob = jax.vmap(distribution.log_prob)(samples(distribution)[:100])
    assert np.all(log_prob <= distribution.log_prob(distribution.mode()) + 1e-6)
