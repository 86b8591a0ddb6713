"""What a query of the transformer sees, and how places enter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.models.transformer import BLOCK, TransformerSpec, WindowedAttention
from tests.quick import jit

T, B, H, WINDOW = 6, 2, 4, 3
SPEC = TransformerSpec(width=H, num_layers=1, num_heads=1, window=WINDOW)
X = np.random.default_rng(0).normal(size=(T, B, H)).astype(np.float32)
RESET = np.zeros((T, B), bool)
RESET[4, 1] = True
EYE, ZERO = np.eye(H, dtype=np.float32), np.zeros((H, H), np.float32)


def attend(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Outputs of one layer whose values are its inputs, from an empty window."""
    params = {"params": {"qkv": {"kernel": np.concatenate([query, key, EYE], axis=1)}, "out": {"kernel": EYE}}}
    (empty,) = SPEC.build().initial_state(B)
    return np.asarray(jit(WindowedAttention(SPEC).apply)(params, empty, X, RESET)[1])


def visible(t: int, row: int) -> range:
    """The window's steps, itself included, of the step's own episode."""
    episode_start = 4 if row == 1 and t >= 4 else 0
    return range(max(episode_start, t - WINDOW + 1), t + 1)


def test_without_preference_a_query_averages_what_it_may_see():
    y = attend(query=ZERO, key=ZERO)
    for t in range(T):
        for row in range(B):
            np.testing.assert_allclose(y[t, row], X[visible(t, row), row].mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_weights_are_the_softmax_of_rotated_products(scale: float):
    y = attend(query=scale * EYE, key=EYE)
    # Coordinates j and j + 2 turn together, about a radian a step and one turn in a period of 12 steps, by whole turns.
    frequency = 2 * np.pi / 12 * np.array([2, 1])
    turned = (X[..., :2] + 1j * X[..., 2:]) * np.exp(1j * np.arange(T)[:, None, None] * frequency)
    for t in range(T):
        for row in range(B):
            seen = visible(t, row)
            score = scale * np.real(turned[t, row].conj() @ turned[seen, row].T) / np.sqrt(H)
            weight = np.exp(score) / np.exp(score).sum()
            np.testing.assert_allclose(y[t, row], weight @ X[seen, row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_steps", [2 * BLOCK, 2 * BLOCK + 5])
def test_a_long_sequence_read_in_blocks_gives_what_short_calls_give_and_their_gradients(num_steps: int):
    rng = np.random.default_rng(1)
    x = jnp.float32(rng.normal(size=(num_steps, B, H)))
    reset = jnp.asarray(rng.random((num_steps, B)) < 0.05)
    model = SPEC.build()
    empty = model.initial_state(B)
    params = model.init(jax.random.key(0), empty, x[:1], reset[:1])

    def long_call(x):
        state, y = model.apply(params, empty, x, reset)
        return jnp.sum(jnp.sin(y)), (state, y)

    def short_calls(x):
        state, outputs = empty, []
        for start in range(0, num_steps, BLOCK - 1):
            part = slice(start, start + BLOCK - 1)
            state, y = model.apply(params, state, x[part], reset[part])
            outputs.append(y)
        y = jnp.concatenate(outputs)
        return jnp.sum(jnp.sin(y)), (state, y)

    (_, got), got_gradient = jit(jax.value_and_grad(long_call, has_aux=True))(x)
    (_, expected), expected_gradient = jit(jax.value_and_grad(short_calls, has_aux=True))(x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, expected)
    np.testing.assert_allclose(got_gradient, expected_gradient, rtol=1e-3, atol=1e-5)
