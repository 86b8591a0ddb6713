"""DeltaNet against a loop over its equations, step by step and number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from icrl.models.deltanet import CHUNK_STEPS, LONGEST, SHORTEST, DeltaNetSpec, delta_rule, unit, unit_lower_inverse
from tests.quick import jit

ROWS, HEADS, KEY, VALUE = 3, 2, 4, 5
ARGUMENTS = ("query", "key", "value", "log_decay", "rate", "reset", "state")


def drawn(num_steps: int, resets: float, dtype=np.float64) -> dict[str, np.ndarray]:
    """What `delta_rule` is given, at random."""
    rng = np.random.default_rng([num_steps, int(100 * resets)])
    sizes = {"query": (HEADS, KEY), "key": (HEADS, KEY), "value": (HEADS, VALUE), "log_decay": (HEADS,)}
    found = {name: rng.normal(size=(num_steps, ROWS, *size)) for name, size in (sizes | {"rate": (HEADS,)}).items()}
    for name in ("query", "key"):
        found[name] /= np.linalg.norm(found[name], axis=-1, keepdims=True)
    found["log_decay"] = -np.abs(found["log_decay"])
    found["rate"] = 1 / (1 + np.exp(-found["rate"]))
    found["state"] = rng.normal(size=(ROWS, HEADS, KEY, VALUE))
    return {name: x.astype(dtype) for name, x in found.items()} | {"reset": rng.random((num_steps, ROWS)) < resets}


def loop(inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The recurrence as the module states it."""
    states, outputs = inputs["state"].copy(), np.zeros_like(inputs["value"])
    for row, head in np.ndindex(ROWS, HEADS):
        S = states[row, head]
        for t in range(len(inputs["key"])):
            q, k, v, a, b = (inputs[name][t, row, head] for name in ARGUMENTS[:5])
            M = np.exp(a) * (1 - inputs["reset"][t, row]) * S
            S = M + b * np.outer(k, v - M.T @ k)
            outputs[t, row, head] = S.T @ q
        states[row, head] = S
    return states, outputs


@pytest.mark.parametrize("resets", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("num_steps", [1, 5, CHUNK_STEPS, 2 * CHUNK_STEPS + 5])
def test_chunks_follow_the_recurrence(num_steps: int, resets: float):
    inputs = drawn(num_steps, resets)
    with jax.enable_x64():
        found = jit(delta_rule)(*(inputs[name] for name in ARGUMENTS))
    for ours, expected in zip(found, loop(inputs), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_gradients_equal_finite_differences_in_double_precision():
    inputs = drawn(CHUNK_STEPS + 3, 0.1)
    reset = jnp.asarray(inputs["reset"])

    def summed(query, key, value, log_decay, rate, state):
        state, outputs = delta_rule(query, key, value, log_decay, rate, reset, state)
        return jnp.sin(outputs).sum() + (state * state).sum()

    with jax.enable_x64():
        values = tuple(jnp.asarray(inputs[name]) for name in ARGUMENTS if name != "reset")
        check_grads(jax.jit(summed), values, order=1, modes=["rev"], eps=1e-6, rtol=1e-6)


def test_what_is_not_finite_stays_in_its_episode_across_chunks_too():
    num_steps, bad, reset = 2 * CHUNK_STEPS + 8, 3, CHUNK_STEPS + 5
    clean = {name: jnp.asarray(x) for name, x in drawn(num_steps, 0.0, np.float32).items()}
    clean["reset"] = clean["reset"].at[reset, 0].set(True)
    spoilt = clean | {"value": clean["value"].at[bad, 0, 1].set(jnp.nan)}

    @jit
    def run(inputs):
        def later(value):
            state, outputs = delta_rule(*(inputs[name] if name != "value" else value for name in ARGUMENTS))
            return outputs[reset:].sum() + (state**2).sum(), (state, outputs)

        return jax.grad(later, has_aux=True)(inputs["value"])

    (gradient, (state, outputs)), (expected_gradient, (expected_state, expected)) = run(spoilt), run(clean)
    assert np.isnan(outputs[bad:reset, 0]).all()
    np.testing.assert_array_equal(outputs[:bad, 0], expected[:bad, 0])
    np.testing.assert_array_equal(outputs[reset:], expected[reset:])
    np.testing.assert_array_equal(outputs[:, 1:], expected[:, 1:])
    np.testing.assert_array_equal(state, expected_state)
    np.testing.assert_array_equal(gradient, expected_gradient)
    assert not gradient[:reset, 0].any()


def test_a_decay_to_nothing_leaves_later_ones_exact():
    inputs = drawn(CHUNK_STEPS, 0.0)
    inputs["log_decay"][2] = -1e7
    _, outputs = jit(delta_rule)(*(jnp.asarray(inputs[name]) for name in ARGUMENTS))
    np.testing.assert_allclose(outputs, loop(inputs)[1], atol=1e-4)


def test_a_key_s_value_is_found_again_and_a_new_one_takes_its_place():
    key = jnp.eye(KEY)[None, :, None].repeat(3, 0)[:, :2]  # two rows, each with a key of its own
    value = jnp.arange(3.0 * 2 * VALUE).reshape(3, 2, 1, VALUE)
    never, kept = jnp.zeros((3, 2), bool), jnp.zeros((3, 2, 1))
    _, outputs = delta_rule(key, key, value, kept, kept + 1, never, jnp.zeros((2, 1, KEY, VALUE)))
    np.testing.assert_allclose(outputs, value, atol=1e-6)


def test_equal_keys_and_full_rates_keep_their_accuracy():
    # The triangular system is then at its worst: every step undoes the one before.
    inputs = drawn(CHUNK_STEPS, 0.0)
    inputs["key"][:] = inputs["key"][0]
    inputs["rate"][:] = 1
    inputs["log_decay"][:] = 0
    _, outputs = jit(delta_rule)(*(jnp.asarray(inputs[name]) for name in ARGUMENTS))
    np.testing.assert_allclose(outputs, loop(inputs)[1], atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_a_unit_lower_triangular_matrix_is_inverted_whatever_else_is_in_it(size: int):
    with jax.enable_x64():
        x = jnp.asarray(np.random.default_rng(size).normal(size=(3, size, size)))
        system = jnp.eye(size) + jnp.tril(x, -1)
        np.testing.assert_allclose(unit_lower_inverse(x) @ system, np.broadcast_to(np.eye(size), x.shape), atol=1e-9)
        check_grads(lambda x: unit_lower_inverse(jnp.asarray(x)), (x,), order=1, modes=["fwd", "rev"])


def test_heads_start_with_memories_of_even_ratios():
    spec = DeltaNetSpec(width=8, num_heads=4, head_size=2)
    model = spec.build()
    params = model.init(jax.random.key(0), model.initial_state(1), jnp.zeros((1, 1, 8)), jnp.zeros((1, 1), bool))
    bias = params["params"]["layer_0"]["decay"]["bias"]
    steps = 1 / (1 - jax.nn.sigmoid(bias))
    assert steps[0] == pytest.approx(SHORTEST, rel=1e-4)
    assert steps[-1] == pytest.approx(LONGEST, rel=1e-4)
    np.testing.assert_allclose(steps[1:] / steps[:-1], (LONGEST / SHORTEST) ** (1 / 3), rtol=1e-3)


def test_a_layer_follows_its_equations():
    spec = DeltaNetSpec(width=8, num_heads=HEADS, head_size=KEY)
    rng = np.random.default_rng(0)
    x = jnp.float32(rng.normal(size=(7, ROWS, 8)))
    model = spec.build()
    inputs = drawn(7, 0.2, np.float32)
    state, reset = (jnp.asarray(inputs["state"][..., :KEY]),), jnp.asarray(inputs["reset"])
    params = model.init(jax.random.key(1), state, x, reset)["params"]
    (last,), y = jit(lambda *given: model.apply({"params": params}, *given))(state, x, reset)

    of = params["layer_0"]
    dense = lambda name: np.asarray(x @ of[name]["kernel"] + of[name]["bias"])  # noqa: E731
    heads = lambda name: jax.nn.silu(dense(name)).reshape(7, ROWS, HEADS, KEY)  # noqa: E731
    expected_last, o = loop(
        {
            "query": np.asarray(unit(heads("query"))),
            "key": np.asarray(unit(heads("key"))),
            "value": np.asarray(heads("value")),
            "log_decay": np.log(1 / (1 + np.exp(-dense("decay")))),
            "rate": 1 / (1 + np.exp(-dense("rate"))),
            "reset": inputs["reset"],
            "state": np.asarray(state[0]),
        }
    )
    read = o.reshape(7, ROWS, -1) * np.asarray(jax.nn.silu(dense("gate")))
    np.testing.assert_allclose(last, expected_last, atol=1e-5)
    np.testing.assert_allclose(y, x + read @ of["out"]["kernel"] + of["out"]["bias"], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(unit(heads("key")), axis=-1), 1, atol=1e-3)
