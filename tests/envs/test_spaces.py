"""Action spaces: the action that does nothing, uniform draws, what the agent observes, what its vectors stand for."""

import jax
import jax.numpy as jnp
import numpy as np

from icrl.envs.spaces import Continuous, Discrete

KEYS = jax.random.split(jax.random.key(0, impl="rbg"), 4096)


def test_actions_of_a_continuous_space_are_vectors():
    space = Continuous(2)
    assert (space.zeros(3).shape, space.zeros(3).dtype) == ((3, 2), jnp.float32)
    drawn = np.asarray(jax.vmap(lambda key: space.sample(key=key))(KEYS))
    assert drawn.shape == (4096, 2) and -1 <= drawn.min() < -0.99 and 0.99 < drawn.max() <= 1
    np.testing.assert_allclose(drawn.var(0), 1 / 3, rtol=0.1)
    np.testing.assert_array_equal(space.features(jnp.array([[-4.0, 0.5]])), [[-3.0, 0.5]])
    np.testing.assert_array_equal(space.nearest(jnp.array([-4.0, 0.5])), [-4.0, 0.5])


def test_actions_of_a_discrete_space_are_choices():
    space = Discrete(3)
    assert (space.zeros(2).shape, space.zeros(2).dtype) == ((2,), jnp.int32)
    drawn = np.asarray(jax.vmap(lambda key: space.sample(key=key))(KEYS))
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), 1 / 3, atol=0.03)
    np.testing.assert_array_equal(space.features(jnp.array([2, 0])), [[0, 0, 1], [1, 0, 0]])
    assert space.nearest(jnp.array([0.5, -3.0, 0.7])) == 2
