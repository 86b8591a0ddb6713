"""Every schedule of the resettable scan against the paper's operator: values and gradients."""

from functools import partial
from inspect import unwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.models.pairs import Pair, to_complex, to_halves
from icrl.models.scan import SCHEDULES, reference_scan, resettable_scan, resolve

B, P = 3, 4
PROPER_SCHEDULES = [schedule for schedule in SCHEDULES if schedule != "auto"]
FAST_SCHEDULES = [schedule for schedule in PROPER_SCHEDULES if schedule != "plain"]
TOLERANCE = dict(rtol=2e-5, atol=2e-5)
EIGENVALUES = pytest.mark.parametrize("varying", [False, True], ids=["fixed", "varying"])


def inputs(num_steps: int, seed: int = 0, *, varying: bool = False) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Eigenvalues of modulus up to 1, of all steps or of each, inputs, a carried state: all as halves."""
    rng = np.random.default_rng(seed)
    shape = (num_steps, B, P) if varying else (P,)
    modulus, angle = rng.uniform(0.5, 1.0, shape), rng.uniform(-3.0, 3.0, shape)
    lambda_2P = np.concatenate([modulus * np.cos(angle), modulus * np.sin(angle)], axis=-1)
    u_TB2P, x_B2P = rng.normal(size=(num_steps, B, 2 * P)), rng.normal(size=(B, 2 * P))
    return jnp.float32(lambda_2P), jnp.float32(u_TB2P), jnp.float32(x_B2P)


def reset_patterns(num_steps: int) -> dict[str, jax.Array]:
    none = np.zeros((num_steps, B), bool)
    first, last, rows_apart = none.copy(), none.copy(), none.copy()
    first[0] = last[-1] = True
    rows_apart[num_steps // 2, 0] = rows_apart[0, 1] = rows_apart[-1, 1] = True
    patterns = {"none": none, "first": first, "last": last, "everywhere": ~none, "rows_apart": rows_apart}
    return {name: jnp.asarray(reset_TB) for name, reset_TB in patterns.items()}


def reference(lambda_2P, u_TB2P, reset_TB, x_B2P):
    return to_halves(reference_scan(to_complex(lambda_2P), to_complex(u_TB2P), reset_TB, to_complex(x_B2P)))


@partial(jax.jit, static_argnums=0)
def states_and_gradients(schedule, lambda_2P, u_TB2P, reset_TB, x_B2P):
    """All states, and the gradients of half their squared sum to all that is differentiable."""
    scan = reference if schedule == "reference" else partial(resettable_scan, schedule=schedule)
    states, pull_back = jax.vjp(lambda *point: scan(*point[:2], reset_TB, point[2]), lambda_2P, u_TB2P, x_B2P)
    return states, pull_back(states)


@partial(jax.jit, static_argnums=(0, 1))
@partial(jax.grad, argnums=(3, 5))
def gradient_from(schedule, start, lambda_2P, u_TB2P, reset_TB, x_B2P):
    """Of the sum of the states from a step on, to inputs and first state."""
    return jnp.sum(resettable_scan(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule)[start:])


def naive_recurrence(lambda_2P, u_TB2P, reset_TB, x_B2P) -> np.ndarray:
    """The defining equation, in double precision."""
    as_complex = lambda h: np.asarray(h, np.float64)[..., :P] + 1j * np.asarray(h, np.float64)[..., P:]  # noqa: E731
    x, states = as_complex(x_B2P), []
    lambda_TBP = np.broadcast_to(as_complex(lambda_2P), (*reset_TB.shape, P))
    for own, u, reset in zip(lambda_TBP, as_complex(u_TB2P), reset_TB, strict=True):
        x = own * np.where(reset[:, None], 0, x) + u
        states.append(np.concatenate([x.real, x.imag], axis=-1))
    return np.stack(states)


@EIGENVALUES
@pytest.mark.parametrize("num_steps", [1, 5, 96])
@pytest.mark.parametrize("schedule", ["reference", *PROPER_SCHEDULES])
def test_states_follow_the_recurrence(schedule: str, num_steps: int, varying: bool):
    lambda_2P, u_TB2P, x_B2P = inputs(num_steps, varying=varying)
    for reset_TB in reset_patterns(num_steps).values():
        states, _ = states_and_gradients(schedule, lambda_2P, u_TB2P, reset_TB, x_B2P)
        np.testing.assert_allclose(states, naive_recurrence(lambda_2P, u_TB2P, reset_TB, x_B2P), **TOLERANCE)


@pytest.mark.parametrize("pattern", ["none", "first", "last", "everywhere", "rows_apart"])
@pytest.mark.parametrize("num_steps", [1, 5, 96])
@pytest.mark.parametrize("schedule", PROPER_SCHEDULES)
@EIGENVALUES
def test_gradients_equal_those_of_the_paper_operator(varying: bool, schedule: str, num_steps: int, pattern: str):
    lambda_2P, u_TB2P, x_B2P = inputs(num_steps, varying=varying)
    reset_TB = reset_patterns(num_steps)[pattern]
    _, expected = states_and_gradients("reference", lambda_2P, u_TB2P, reset_TB, x_B2P)
    _, gradients = states_and_gradients(schedule, lambda_2P, u_TB2P, reset_TB, x_B2P)
    for name, gradient, reference_gradient in zip(("lambda", "u", "x"), gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, reference_gradient, **TOLERANCE, err_msg=name)


@EIGENVALUES
@pytest.mark.parametrize("schedule", PROPER_SCHEDULES)
def test_gradients_equal_finite_differences_in_double_precision(schedule: str, varying: bool):
    num_steps, step = 3, 1e-4
    reset_TB = reset_patterns(num_steps)["rows_apart"]
    point, direction = (
        [np.asarray(leaf, np.float64) for leaf in inputs(num_steps, seed, varying=varying)] for seed in (0, 1)
    )

    with jax.enable_x64(True):

        @jax.jit
        @jax.value_and_grad
        def energy_and_gradients(point):
            lambda_2P, u_TB2P, x_B2P = point
            return jnp.sum(resettable_scan(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule) ** 2)

        _, gradients = energy_and_gradients(point)
        for varied in range(len(point)):
            moved = [
                [
                    leaf + sign * step * (i == varied) * d
                    for i, (leaf, d) in enumerate(zip(point, direction, strict=True))
                ]
                for sign in (1, -1)
            ]
            plus, minus = (energy_and_gradients(p)[0] for p in moved)
            slope = np.sum(gradients[varied] * direction[varied])
            np.testing.assert_allclose(slope, (plus - minus) / (2 * step), rtol=1e-6)


@EIGENVALUES
@pytest.mark.parametrize("schedule", PROPER_SCHEDULES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("num_steps", "start"), [(5, 3), (96, 40)])
def test_what_is_not_finite_stays_before_a_reset(schedule: str, bad: float, num_steps: int, start: int, varying: bool):
    lambda_2P, u_TB2P, x_B2P = inputs(num_steps, varying=varying)
    reset_TB = jnp.zeros((num_steps, B), bool).at[start].set(True)
    states, _ = states_and_gradients(schedule, lambda_2P, u_TB2P, reset_TB, x_B2P)
    spoilt, spoilt_lambda = (leaf.at[:start].set(bad) if leaf.ndim > 1 else leaf for leaf in (u_TB2P, lambda_2P))
    after, _ = states_and_gradients(schedule, spoilt_lambda, spoilt, reset_TB, jnp.full_like(x_B2P, bad))
    np.testing.assert_array_equal(after[start:], states[start:])


@EIGENVALUES
@pytest.mark.parametrize("schedule", FAST_SCHEDULES)
@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf])
@pytest.mark.parametrize(("num_steps", "start"), [(5, 3), (96, 40)])
def test_no_gradient_crosses_a_reset_even_if_values_are_not_finite(
    schedule: str, bad: float, num_steps: int, start: int, varying: bool
):
    lambda_2P, u_TB2P, x_B2P = inputs(num_steps, varying=varying)
    reset_TB = jnp.zeros((num_steps, B), bool).at[start].set(True)

    spoilt = u_TB2P.at[:start].set(bad)
    du_TB2P, dx_B2P = gradient_from(schedule, start, lambda_2P, spoilt, reset_TB, jnp.full_like(x_B2P, bad))
    assert np.all(np.asarray(du_TB2P[:start]) == 0) and np.all(np.asarray(dx_B2P) == 0)
    assert np.all(np.asarray(du_TB2P[start:]) != 0)


@EIGENVALUES
@pytest.mark.parametrize("schedule", PROPER_SCHEDULES)
def test_a_batch_of_scans_equals_scans_one_by_one(schedule: str, varying: bool):
    num_seeds, num_steps = 2, 3
    reset_TB = reset_patterns(num_steps)["rows_apart"]
    each = [inputs(num_steps, seed, varying=varying) for seed in range(num_seeds)]
    lambda_S2P, u_STB2P, x_SB2P = map(jnp.stack, zip(*each, strict=True))
    batched = jax.vmap(states_and_gradients, (None, 0, 0, None, 0))(schedule, lambda_S2P, u_STB2P, reset_TB, x_SB2P)
    for seed, (lambda_2P, u_TB2P, x_B2P) in enumerate(each):
        alone = states_and_gradients(schedule, lambda_2P, u_TB2P, reset_TB, x_B2P)
        for together, single in zip(jax.tree.leaves(batched), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(together[seed], single, **TOLERANCE)


def test_halves_are_real_parts_then_imaginary_parts():
    a = jnp.array([1 + 2j, -0.5j])
    np.testing.assert_array_equal(to_halves(a), [1.0, 0.0, 2.0, -0.5])
    np.testing.assert_array_equal(to_complex(to_halves(a)), a)


def test_pairs_are_complex_arithmetic():
    a, b = jnp.array([1 + 2j, -0.5j]), jnp.array([3 - 1j, 2 + 2j])
    pair_a, pair_b = Pair.of(to_halves(a)), Pair.of(to_halves(b))
    np.testing.assert_array_equal(pair_a.halves, to_halves(a))
    np.testing.assert_array_equal(to_complex(pair_a.plus(pair_b).halves), a + b)
    np.testing.assert_allclose(to_complex(pair_a.times(pair_b).halves), a * b)
    np.testing.assert_array_equal(to_complex(pair_a.conjugate.halves), a.conj())
    infinite = Pair.of(jnp.full((2, 2), jnp.inf))
    np.testing.assert_array_equal(infinite.cleared(jnp.array([True, False])).halves, [[0, 0], [np.inf, np.inf]])


@pytest.mark.parametrize(
    ("backend", "num_steps", "num_states", "schedule"),
    [
        ("cpu", 1024, 16, "sequential"),
        ("cpu", 1024, 15, "parallel"),
        ("cpu", 1, 15, "sequential"),
        ("gpu", 1, 16, "sequential"),
        ("gpu", 2, 16, "kernel"),
        ("tpu", 128, 16, "parallel"),
    ],
)
def test_auto_is_sequential_on_a_cpu_and_for_single_steps_and_the_kernel_on_a_gpu(
    monkeypatch, backend, num_steps, num_states, schedule
):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    size = dict(num_steps=num_steps, num_states=num_states)
    assert resolve("auto", **size) == schedule
    assert [resolve(named, **size) for named in PROPER_SCHEDULES] == PROPER_SCHEDULES


def test_an_unknown_schedule_is_refused_by_name(monkeypatch):
    lambda_2P, u_TB2P, x_B2P = inputs(1)
    # Outside of tests nothing checks signatures: then the function itself has to refuse it.
    monkeypatch.setattr("icrl.models.scan.resolve", unwrap(resolve))
    with pytest.raises(ValueError, match=f"schedule: got 'serial'; expected one of {', '.join(SCHEDULES)}"):
        unwrap(resettable_scan)(lambda_2P, u_TB2P, jnp.zeros((1, B), bool), x_B2P, "serial")
