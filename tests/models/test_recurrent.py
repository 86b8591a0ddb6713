"""GRU and LSTM against their equations, written out in NumPy."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from icrl.models.recurrent import GRUSpec, LSTMSpec
from tests.quick import jit

T, B, H = 4, 2, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(T, B, H))
RESET = np.array([[False, True], [False, False], [True, False], [False, False]])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gru(x: list[np.ndarray], h: list[np.ndarray], memory: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """``r, z = s(x + h)``, ``n = tanh(x_n + r h_n)``, ``h' = (1 - z) n + z h`` (arXiv 1406.1078)."""
    r, z = sigmoid(x[0] + h[0]), sigmoid(x[1] + h[1])
    return ((1 - z) * np.tanh(x[2] + r * h[2]) + z * memory[0],)


def lstm(
    x: list[np.ndarray],
    h: list[np.ndarray],
    memory: tuple[np.ndarray, ...],
    forget_bias: float = 1,
    input_bias: float = 0,
) -> tuple[np.ndarray, ...]:
    """``c' = s(f + 1) c + s(i) tanh(g)``, ``h' = s(o) tanh(c')``."""
    i, f, g, o = (a + b for a, b in zip(x, h, strict=True))
    c = sigmoid(f + forget_bias) * memory[1] + sigmoid(i + input_bias) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


@pytest.mark.parametrize(
    ("spec", "cell", "num_gates"),
    [
        (GRUSpec(width=H), gru, 3),
        (LSTMSpec(width=H), lstm, 4),
        (LSTMSpec(width=H, forget_bias=5, input_bias=-3), partial(lstm, forget_bias=5, input_bias=-3), 4),
    ],
    ids=["gru", "lstm", "lstm_with_biases"],
)
def test_a_layer_follows_its_equations(spec: GRUSpec | LSTMSpec, cell: Callable, num_gates: int):
    size = num_gates * H
    weights = {
        "input": {"kernel": RNG.normal(size=(H, size)), "bias": RNG.normal(size=size)},
        "recurrent": RNG.normal(size=(H, size)),
        "recurrent_bias": RNG.normal(size=size),
    }
    memory = tuple(RNG.normal(size=(B, H)) for _ in range(num_gates // 2))
    state, y = jit(spec.build().apply)({"params": {"layer_0": weights}}, (memory,), X, RESET)

    for t in range(T):
        memory = tuple(np.where(RESET[t, :, None], 0, part) for part in memory)
        x = np.split(X[t] @ weights["input"]["kernel"] + weights["input"]["bias"], num_gates, axis=-1)
        h = np.split(memory[0] @ weights["recurrent"] + weights["recurrent_bias"], num_gates, axis=-1)
        memory = cell(x, h, memory)
        np.testing.assert_allclose(y[t], memory[0], rtol=1e-4, atol=1e-5)
    for part, expected in zip(state[0], memory, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-4, atol=1e-5)
