"""What is S5's own: the state space against dense matrices, discretisation, gates, the ablation, its spec."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from icrl.errors import SpecError
from icrl.models.hippo import hippo_eigenpairs, hippo_normal
from icrl.models.s5 import S5Layer, S5Spec, StateSpace, discretize, ring
from icrl.types import PyTree
from tests.quick import jit

T, B, H, N = 5, 2, 3, 8
SPEC = S5Spec(
    width=H, num_layers=1, state_size=N, delta_min=0.05, delta_max=0.5, b_init="fan_in_normal", c_init="fan_in_normal"
)
KEY = jax.random.key(0, impl="rbg")  # compiles faster than the default
NEVER = np.zeros((T, B), bool)
U = np.random.default_rng(0).normal(size=(T, B, H)).astype(np.float32)
TOLERANCE = dict(rtol=1e-4, atol=1e-5)


@cache
def _initial(num_blocks: int) -> dict[str, jax.Array]:
    module = StateSpace(replace(SPEC, num_blocks=num_blocks))
    return jit(module.init)(KEY, np.zeros((B, N), np.float32), U, NEVER)["params"]


def initial(num_blocks: int = 1) -> dict[str, np.ndarray]:
    """Parameters of a fresh state space, to be changed at will."""
    return jax.tree.map(np.array, _initial(num_blocks))


def run(module: StateSpace | S5Layer, params: PyTree, reset: np.ndarray = NEVER) -> np.ndarray:
    return jax.jit(module.apply)({"params": params}, np.zeros((B, N), np.float32), U, reset)[1]


def as_complex(halves: np.ndarray, axis: int) -> np.ndarray:
    real, imag = np.split(halves.astype(np.float64), 2, axis=axis)
    return real + 1j * imag


def full_spectrum(params: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``B`` ``[N, H]``, ``C`` ``[H, N]`` and eigenvalues ``[N]``, each with its conjugate half added."""
    half_lambda = params["lambda_re"] + 1j * params["lambda_im"].astype(np.float64)
    half_b = as_complex(params["B"], axis=1).T
    # Stored is [2 Re C; -2 Im C], transposed, so that a product with [Re x, Im x] gives 2 Re(C x).
    half_c = as_complex(params["C"], axis=0).conj().T / 2
    both = lambda half, axis: np.concatenate([half, half.conj()], axis=axis)  # noqa: E731
    return both(half_b, 0), both(half_c, 1), both(half_lambda, 0)


def recur(a_bar: np.ndarray, b_bar: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The discrete state space of the textbook: ``x_t = A x_{t-1} + B u_t``, ``y_t = C x_t + D u_t``."""
    x, outputs = np.zeros((B, len(a_bar)), a_bar.dtype), []
    for u in U.astype(np.float64):
        x = x @ a_bar.T + u @ b_bar.T
        outputs.append(x @ c.T + d * u)
    return np.stack(outputs)


@pytest.mark.parametrize("num_blocks", [1, 2])
@pytest.mark.parametrize("discretization", ["zoh", "bilinear"])
def test_a_fresh_layer_is_a_dense_real_state_space_with_hippo_blocks(discretization, num_blocks):
    module = StateSpace(replace(SPEC, discretization=discretization, num_blocks=num_blocks))
    params = initial(num_blocks)
    delta = 0.2  # one time step for all pairs, so that the dense matrix can be discretised as a whole
    params["log_delta"] = np.full_like(params["log_delta"], np.log(delta))

    a = scipy.linalg.block_diag(*[hippo_normal(N // num_blocks)] * num_blocks)
    half_basis = scipy.linalg.block_diag(*[hippo_eigenpairs(N // num_blocks)[1]] * num_blocks)
    basis = np.concatenate([half_basis, half_basis.conj()], axis=1)
    b, c, _ = full_spectrum(params)
    b, c = basis @ b, c @ basis.conj().T
    np.testing.assert_allclose(b.imag, 0, atol=1e-6)
    np.testing.assert_allclose(c.imag, 0, atol=1e-6)

    identity = np.eye(N)
    if discretization == "zoh":
        a_bar = scipy.linalg.expm(delta * a)
        b_bar = np.linalg.solve(a, (a_bar - identity) @ b.real)
    else:
        a_bar = np.linalg.solve(identity - delta / 2 * a, identity + delta / 2 * a)
        b_bar = np.linalg.solve(identity - delta / 2 * a, delta * b.real)
    np.testing.assert_allclose(run(module, params), recur(a_bar, b_bar, c.real, params["D"]), **TOLERANCE)


@pytest.mark.parametrize("discretization", ["zoh", "bilinear", "dirac"])
def test_a_trained_layer_is_the_complex_state_space_of_its_full_spectrum(discretization):
    module = StateSpace(replace(SPEC, discretization=discretization))
    rng = np.random.default_rng(1)
    params = {name: leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32) for name, leaf in initial().items()}
    b, c, eigenvalues = full_spectrum(params)
    delta = np.tile(np.exp(params["log_delta"]), 2)
    if discretization == "zoh":
        a_bar, scale = np.exp(eigenvalues * delta), (np.exp(eigenvalues * delta) - 1) / eigenvalues
    elif discretization == "dirac":
        a_bar, scale = np.exp(eigenvalues * delta), np.ones(N)
    else:
        a_bar, scale = (
            (1 + eigenvalues * delta / 2) / (1 - eigenvalues * delta / 2),
            delta / (1 - eigenvalues * delta / 2),
        )
    y = recur(np.diag(a_bar), scale[:, None] * b, c, params["D"])
    np.testing.assert_allclose(y.imag, 0, atol=1e-9)
    np.testing.assert_allclose(run(module, params), y.real, **TOLERANCE)


def test_discretization_by_hand():
    # lambda delta = -1: exp(-1); and (1 - 1/2) / (1 + 1/2) = 1/3, 2 / (3/2) = 4/3.
    eigenvalue, delta = jnp.array([-0.5 + 0j]), jnp.array([2.0])
    np.testing.assert_allclose(discretize(eigenvalue, delta, "zoh"), [[np.exp(-1)], [2 * (1 - np.exp(-1))]], rtol=1e-6)
    np.testing.assert_allclose(discretize(eigenvalue, delta, "bilinear"), [[1 / 3], [4 / 3]], rtol=1e-6)
    np.testing.assert_allclose(discretize(eigenvalue, delta, "dirac"), [[np.exp(-1)], [1]], rtol=1e-6)


def test_a_ring_is_the_same_memory_of_inputs_that_turn_the_other_way():
    """States that turn by an angle a step hold what states that do not would hold of inputs turned back by it."""
    params, turn = initial(), np.tile(ring(N // 2), 2)
    turn[N // 2 :] = turn[N // 2 :].conj()
    b, c, eigenvalues = full_spectrum(params)
    a_bar = np.exp(eigenvalues * np.tile(np.exp(params["log_delta"]), 2))
    b_bar = (a_bar - 1)[:, None] / eigenvalues[:, None] * b
    x, outputs = np.zeros((B, N), complex), []
    for t, u in enumerate(U.astype(np.float64)):
        x = a_bar * x + turn**-t * (u @ b_bar.T)
        outputs.append((turn**t * x) @ c.T + params["D"] * u)
    y = np.stack(outputs)
    np.testing.assert_allclose(y.imag, 0, atol=1e-6)
    turning = StateSpace(replace(SPEC, rotation="ring"))
    np.testing.assert_allclose(run(turning, params), y.real, **TOLERANCE)


def test_the_angles_of_a_ring_are_even_over_half_a_circle_and_none_is_zero():
    np.testing.assert_allclose(np.abs(ring(8)), 1, rtol=1e-6)
    np.testing.assert_allclose(sorted(np.angle(ring(8))), np.pi * (np.arange(8) + 0.5) / 8, rtol=1e-5)
    assert not np.array_equal(np.angle(ring(8)), sorted(np.angle(ring(8))))  # independent of HiPPO's order


def test_on_a_ring_a_pulse_stands_out_from_a_constant_however_long_it_is_kept():
    """A layer of slow states is shown a pulse, then a constant: what the output still holds of the pulse at the end."""

    def pulse(length: int, **options) -> tuple[float, float]:
        """Its root mean square in the output, and the same as a part of the rest."""
        slow = dict(delta_min=0.25 / length, delta_max=4 / length)
        init = dict(b_init="fan_in_normal", c_init="fan_in_normal")
        module = StateSpace(S5Spec(width=2, num_layers=1, state_size=64, **slow, **init, **options))
        u = np.ones((length, 2, 2), np.float32)
        u[0, 1] = -1
        empty, never = np.zeros((2, 64), np.float32), np.zeros((length, 2), bool)
        params = jit(module.init)(KEY, empty, u, never)
        y = np.asarray(jax.jit(module.apply)(params, empty, u, never)[1][-1]) - np.asarray(params["params"]["D"])
        size = np.sqrt(np.mean((y[0] - y[1]) ** 2)) / 2
        return float(size), float(size / np.sqrt(np.mean((y[0] + y[1]) ** 2)) * 2)

    assert pulse(400)[1] < 0.02
    assert pulse(400, rotation="ring")[1] > 0.05
    sizes, parts = zip(
        *(pulse(length, rotation="ring", discretization="dirac") for length in (100, 400, 1600)), strict=True
    )
    assert min(sizes) > 0.1
    assert min(parts) > 0.05


def test_time_steps_start_within_their_range():
    delta = np.exp(initial()["log_delta"])
    assert np.all((delta >= 0.05) & (delta <= 0.5))
    assert len(np.unique(delta)) == N // 2


@pytest.mark.parametrize(
    ("field", "law", "std"),
    [
        ("b_init", "lecun_normal", lambda size, width: size**-0.5),
        ("b_init", "fan_in_normal", lambda size, width: width**-0.5),
        ("c_init", "lecun_normal", lambda size, width: (2 / (size * width)) ** 0.5),
        ("c_init", "complex_normal", lambda size, width: 1.0),
        ("c_init", "fan_in_normal", lambda size, width: size**-0.5),
    ],
)
def test_initialisations_have_the_standard_deviations_stated(field, law, std):
    """Of complex entries in the eigenbasis, ``E|z|^2 = std^2``: the change of basis is unitary and keeps it."""
    for size, width, num_blocks in ((32, 192, 1), (128, 48, 4)):
        module = StateSpace(replace(SPEC, width=width, state_size=size, num_blocks=num_blocks, **{field: law}))
        inputs = np.zeros((1, size), np.float32), np.zeros((1, 1, width), np.float32), np.zeros((1, 1), bool)
        params = jit(module.init)(KEY, *inputs)["params"]
        assert {leaf.dtype for leaf in params.values()} == {np.dtype(np.float32)}
        entries = dict(zip(("b_init", "c_init"), full_spectrum(jax.tree.map(np.asarray, params))[:2], strict=True))[
            field
        ]
        assert np.abs(entries.mean()) < 0.05 * std(size, width)
        np.testing.assert_allclose(np.sqrt(np.mean(np.abs(entries) ** 2)), std(size, width), rtol=0.04)
        np.testing.assert_allclose(entries.real.std(), entries.imag.std(), rtol=0.1)
    np.testing.assert_allclose(params["D"].std(), 1.0, rtol=0.3)


def test_clipped_eigenvalues_cannot_make_the_state_grow():
    clipped, free = StateSpace(SPEC), StateSpace(replace(SPEC, clip_eigenvalues=False))
    params = initial()
    growing, marginal = dict(params), dict(params)
    growing["lambda_re"], marginal["lambda_re"] = (
        np.full(N // 2, 2.0, np.float32),
        np.full(N // 2, -1e-4, np.float32),
    )
    np.testing.assert_array_equal(run(clipped, growing), run(clipped, marginal))
    assert np.max(np.abs(run(free, growing) - run(free, marginal))) > 0.1


def test_no_mode_remembers_for_longer_than_the_longest_memory():
    params = initial()
    delta = np.exp(params["log_delta"])
    slow, bound = ({**params, "lambda_re": -np.float32(1 / steps) / delta} for steps in (1000, 5))
    bounded = StateSpace(replace(SPEC, longest_memory=5.0))
    np.testing.assert_allclose(run(bounded, slow), run(StateSpace(SPEC), bound), **TOLERANCE)
    assert np.max(np.abs(run(StateSpace(SPEC), slow) - run(StateSpace(SPEC), bound))) > 0.1
    faster = {**params, "lambda_re": -np.float32(1 / 4) / delta}
    np.testing.assert_allclose(run(bounded, faster), run(StateSpace(SPEC), faster), **TOLERANCE)


@pytest.mark.parametrize(
    "options",
    [
        dict(discretization="zoh", longest_memory=4.0),
        dict(discretization="bilinear"),
        dict(discretization="dirac", rotation="ring"),
    ],
    ids=lambda options: options["discretization"],
)
def test_a_selective_layer_is_a_state_space_whose_every_step_is_discretised_by_its_own_time_steps(options):
    spec = replace(SPEC, selective=True, **options)
    rng = np.random.default_rng(3)
    choice, pairs = rng.normal(size=(H, N // 2)).astype(np.float32), N // 2
    params = initial()
    b, c, eigenvalues = full_spectrum(params)
    turn = np.concatenate([ring(pairs), ring(pairs).conj()]) if "rotation" in options else 1
    restart, x, outputs = rng.random((T, B)) < 0.3, np.zeros((B, N), complex), []
    for u, reset in zip(U.astype(np.float64), restart, strict=True):
        delta = np.log(1 + np.exp(u @ choice) * np.expm1(np.exp(params["log_delta"])))  # softplus(W u + softplus^-1)
        delta = np.tile(delta, 2)
        slowest = -1 / (options["longest_memory"] * delta) if "longest_memory" in options else 0
        z = np.minimum(eigenvalues.real, slowest) + 1j * eigenvalues.imag
        a_bar, scale = {
            "zoh": (np.exp(z * delta), (np.exp(z * delta) - 1) / z),
            "bilinear": ((1 + z * delta / 2) / (1 - z * delta / 2), delta / (1 - z * delta / 2)),
            "dirac": (np.exp(z * delta), np.ones_like(delta)),
        }[spec.discretization]
        x = turn * a_bar * np.where(reset[:, None], 0, x) + scale * (u @ b.T)
        outputs.append(x @ c.T + params["D"] * u)
    y = np.stack(outputs)
    np.testing.assert_allclose(y.imag, 0, atol=1e-6)
    params["choice"] = {"kernel": choice}
    np.testing.assert_allclose(run(StateSpace(spec), params, restart), y.real, **TOLERANCE)


def test_without_a_choice_a_selective_layer_is_one_of_fixed_time_steps():
    params = initial() | {"choice": {"kernel": np.zeros((H, N // 2), np.float32)}}
    selective = StateSpace(replace(SPEC, selective=True))
    np.testing.assert_allclose(run(selective, params), run(StateSpace(SPEC), initial()), **TOLERANCE)


@pytest.mark.parametrize("gate", ["full_glu", "half_glu1", "half_glu2", "gelu"])
def test_gates_follow_the_original_code(gate):
    """``v = gelu(y)``: full_glu (W v) s(G v), half_glu1 v s(G v), half_glu2 y s(G v), gelu v."""
    module = S5Layer(replace(SPEC, gate=gate, norm="none"))
    rng = np.random.default_rng(2)
    params = {"state_space": initial()}
    for name in ("value", "gate"):
        params[name] = {"kernel": rng.normal(size=(H, H)), "bias": rng.normal(size=H)}
    y = run(StateSpace(SPEC), params["state_space"])
    v = jax.nn.gelu(y)
    dense = lambda name: v @ params[name]["kernel"] + params[name]["bias"]  # noqa: E731
    gated = {
        "full_glu": lambda: dense("value") * jax.nn.sigmoid(dense("gate")),
        "half_glu1": lambda: v * jax.nn.sigmoid(dense("gate")),
        "half_glu2": lambda: y * jax.nn.sigmoid(dense("gate")),
        "gelu": lambda: v,
    }[gate]()
    np.testing.assert_allclose(run(module, params), U + gated, **TOLERANCE)


@pytest.mark.parametrize("prenorm", [True, False])
def test_a_layer_that_adds_nothing_passes_its_input_on(prenorm):
    module = S5Layer(replace(SPEC, prenorm=prenorm))
    params = {
        "state_space": initial() | {"B": np.zeros((H, N), np.float32), "D": np.zeros(H, np.float32)},
        "gate": {"kernel": np.eye(H), "bias": np.zeros(H)},
        "norm": {"scale": np.ones(H), "bias": np.zeros(H)},
    }
    normalised = (U - U.mean(-1, keepdims=True)) / np.sqrt(U.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(run(module, params), U if prenorm else normalised, **TOLERANCE)


def test_without_resets_memory_runs_on_across_episode_starts():
    with_reset, without = SPEC.build(), replace(SPEC, reset=False).build()
    empty = with_reset.initial_state(B)
    params = jit(with_reset.init)(KEY, empty, U, NEVER)
    restart = NEVER.copy()
    restart[3] = True
    uninterrupted_state, uninterrupted = jax.jit(with_reset.apply)(params, empty, U, NEVER)
    state, y = jax.jit(without.apply)(params, empty, U, restart)
    np.testing.assert_array_equal(y, uninterrupted)
    np.testing.assert_array_equal(state[0], uninterrupted_state[0])
    _, cleared = jax.jit(with_reset.apply)(params, empty, U, restart)
    assert np.max(np.abs(cleared[3:] - y[3:])) > 1e-3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_layers", 0, "num_layers: got 0; expected at least 1"),
        ("width", 0, "width: got 0; expected at least 1"),
        ("state_size", 7, "state_size: got 7; expected a multiple of 2 * num_blocks = 2"),
        ("num_blocks", 3, "state_size: got 8; expected a multiple of 2 * num_blocks = 6"),
        ("delta_min", 0.6, "delta_min: got 0.6; expected at most delta_max = 0.5"),
    ],
)
def test_impossible_sizes_are_refused(field, value, message):
    with pytest.raises(SpecError) as error:
        replace(SPEC, **{field: value})
    assert str(error.value) == message


def test_no_bound_on_memory_is_promised_that_the_bilinear_form_would_not_keep():
    with pytest.raises(SpecError, match=r"^longest_memory: got 5\.0; expected null with discretization = bilinear$"):
        replace(SPEC, longest_memory=5.0, discretization="bilinear")


@pytest.mark.parametrize("selective", [False, True])
def test_the_paper_s_form_in_complex_numbers_gives_the_same_layer(selective: bool):
    spec = S5Spec(width=4, num_layers=1, state_size=4, selective=selective)
    x_TBH = jax.random.normal(jax.random.PRNGKey(1), (5, 2, 4))
    reset_TB = jnp.zeros((5, 2), bool).at[2, 0].set(True)
    model, plain = spec.build(), replace(spec, schedule="plain").build()
    state = jax.tree.map(lambda leaf: leaf + 0.5, model.initial_state(2))
    params = model.init(jax.random.PRNGKey(0), state, x_TBH, reset_TB)
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # away from the start, where no time step is chosen

    def loss(params, model):
        after, y_TBH = model.apply(params, state, x_TBH, reset_TB)
        return jnp.sum(y_TBH**2) + sum(jnp.sum(leaf**3) for leaf in jax.tree.leaves(after))

    found, expected = (jax.jit(jax.value_and_grad(loss), static_argnums=1)(params, m) for m in (plain, model))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), found, expected)
