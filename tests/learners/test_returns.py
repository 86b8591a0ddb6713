"""Advantages by hand, against the sum that defines them, and at the ends of lambda."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.learners.returns import generalized_advantage, next_values

# One column each: an episode truncated after step 1, one terminated there, and a trial that merely ends there.
REWARD = jnp.array([[1.0, 2.0, 3.0, 4.0]] * 3).T
VALUE = jnp.array([[4.0, 2.0, 6.0, 8.0]] * 3).T
LAST_VALUE = jnp.array([10.0, 10.0, 10.0])
EPISODE_END = jnp.array([[False, True, False, False], [False, True, False, False], [False] * 4]).T
BOOTSTRAP = jnp.array([[0.0, 8.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4]).T


def test_the_successors_value_by_hand():
    np.testing.assert_array_equal(
        next_values(VALUE, LAST_VALUE, EPISODE_END, BOOTSTRAP).T,
        [[2, 8, 8, 10], [2, 0, 8, 10], [2, 6, 8, 10]],
    )


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_advantages_by_hand(wrap):
    # discount 1/2, trace 1/2. Deltas: -2, then 4 | 0 | 3, then 1, 1. A_3 = 1, A_2 = 1 + 1/4; then the three part.
    following = next_values(VALUE, LAST_VALUE, EPISODE_END, BOOTSTRAP)
    advantage = wrap(partial(generalized_advantage, discount=0.5, trace=0.5))
    np.testing.assert_allclose(
        advantage(REWARD, VALUE, following, EPISODE_END).T,
        [
            [-2 + 4 / 4, 4, 1.25, 1],
            [-2, 0, 1.25, 1],
            [-2 + 3.3125 / 4, 3 + 1.25 / 4, 1.25, 1],
        ],
        rtol=1e-6,
    )


def random_rollouts(num_seeds: int = 2, num_steps: int = 12, num_rows: int = 5):
    """Rewards, values, next values and episode ends ``[S, T, B]``."""
    rng = np.random.default_rng(0)
    shape = (num_seeds, num_steps, num_rows)
    reward, value, following = jnp.float32(rng.normal(size=(3, *shape)))
    return reward, value, following, jnp.asarray(rng.random(shape) < 0.2)


def brute_force(reward, value, following, episode_end, discount: float, trace: float) -> np.ndarray:
    """``A_t = sum_k (discount * trace)^k delta_{t+k}``, k up to the episode's end."""
    delta = np.asarray(reward + discount * following - value)
    advantage = np.zeros(delta.shape)
    num_steps, num_rows = delta.shape
    for row in range(num_rows):
        for start in range(num_steps):
            for t in range(start, num_steps):
                advantage[start, row] += (discount * trace) ** (t - start) * delta[t, row]
                if episode_end[t, row]:
                    break
    return advantage


@pytest.mark.parametrize(("discount", "trace"), [(0.9, 0.8), (1.0, 1.0), (0.9, 0.0)])
def test_advantages_equal_the_sum_that_defines_them(discount: float, trace: float):
    rollouts = random_rollouts()
    advantage = jax.jit(jax.vmap(partial(generalized_advantage, discount=discount, trace=trace)))(*rollouts)
    for seed, one_rollout in enumerate(zip(*rollouts, strict=True)):
        expected = brute_force(*one_rollout, discount, trace)
        np.testing.assert_allclose(advantage[seed], expected, rtol=1e-4, atol=1e-5)


def test_lambda_zero_looks_one_step_ahead():
    reward, value, following, episode_end = (leaf[0] for leaf in random_rollouts())
    advantage = generalized_advantage(reward, value, following, episode_end, discount=0.9, trace=0.0)
    np.testing.assert_allclose(advantage, reward + 0.9 * following - value, rtol=1e-5, atol=1e-6)


def test_lambda_one_is_the_return_whatever_the_values_in_between():
    reward, value, _, episode_end = (leaf[0] for leaf in random_rollouts())
    last_value, bootstrap = jnp.ones(5), jnp.full_like(reward, 2.0)

    def returns(value):
        following = next_values(value, last_value, episode_end, bootstrap)
        advantage = generalized_advantage(reward, value, following, episode_end, discount=0.9, trace=1.0)
        return advantage + value

    np.testing.assert_allclose(returns(value), returns(0 * value), rtol=1e-4, atol=1e-5)
