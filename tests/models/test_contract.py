"""The contract of `icrl.models.sequence`, held by every model in every way it can compute."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.models.mlp import MLPSpec
from icrl.models.recurrent import GRUSpec, LSTMSpec
from icrl.models.s5 import S5Spec
from icrl.models.sequence import SequenceModel
from icrl.models.transformer import TransformerSpec
from icrl.types import PyTree
from tests.quick import jit

T, B, H = 6, 3, 8
HALF = T // 2

KEY = jax.random.key(0, impl="rbg")  # compiles faster than the default

TOLERANCE = dict(rtol=1e-5, atol=1e-5)
"""For equal mathematics in another order. What is claimed not to depend is compared exactly."""

SHORT_DELTA = dict(width=H, state_size=8, delta_min=0.05, delta_max=0.5)
SPECS = {
    "s5_sequential": S5Spec(**SHORT_DELTA, schedule="sequential"),
    "s5_parallel": S5Spec(
        **SHORT_DELTA,
        num_layers=1,
        schedule="parallel",
        discretization="bilinear",
        num_blocks=2,
        gate="half_glu2",
    ),
    "s5_postnorm": S5Spec(**SHORT_DELTA, schedule="sequential", num_blocks=2, prenorm=False, gate="full_glu"),
    "s5_ring": S5Spec(**SHORT_DELTA, num_layers=1, discretization="dirac", rotation="ring"),
    "s5_without_norm": S5Spec(
        **SHORT_DELTA, num_layers=1, schedule="parallel", norm="none", gate="gelu", clip_eigenvalues=False
    ),
    "gru": GRUSpec(width=H, num_layers=2),
    "lstm": LSTMSpec(width=H),
    "transformer": TransformerSpec(width=H, num_heads=2, window=2 * T),
    "transformer_short_window": TransformerSpec(width=H, num_layers=1, num_heads=2, window=3),
    "mlp": MLPSpec(width=H),
}


@dataclass
class Case:
    """A model with parameters, a sequence, and a memory that has already seen something."""

    name: str
    model: SequenceModel
    params: PyTree
    x: np.ndarray
    state: PyTree
    apply: Callable[..., tuple[PyTree, jax.Array]]
    """``apply(state, x, reset)``, compiled."""
    num_traces: Counter[int]
    """How often ``apply`` was traced for each number of steps."""


def noise(num_steps: int, seed: int) -> jax.Array:
    return jnp.float32(np.random.default_rng(seed).normal(size=(num_steps, B, H)))


@pytest.fixture(scope="module", params=SPECS, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    model = SPECS[request.param].build()
    warm_x, x = noise(HALF, seed=1), noise(T, seed=2)
    empty, never = model.initial_state(B), resets()
    params = jit(model.init)(KEY, empty, x, never)
    num_traces = Counter()

    @jit
    def apply(state, x, reset):
        num_traces[len(x)] += 1
        return model.apply(params, state, x, reset)

    state, _ = apply(empty, warm_x, never[:HALF])
    return Case(request.param, model, params, x, state, apply, num_traces)


def resets(*steps_and_rows: tuple[int, int]) -> jax.Array:
    flags = np.zeros((T, B), bool)
    for step, row in steps_and_rows:
        flags[step, row] = True
    return jnp.asarray(flags)


MIXED = resets((0, 0), (2, 0), (HALF, 1), (T - 1, 1))
"""Row 0 starts with a reset, row 1 ends with one, row 2 has none."""


def with_row(state: PyTree, row: int, value: float) -> PyTree:
    """A memory where all numbers of a row are replaced; what is no number stays."""

    def replaced(leaf):
        leaf = np.array(leaf)
        if np.issubdtype(leaf.dtype, np.floating):
            leaf[row] = value
        return leaf

    return jax.tree.map(replaced, state)


def test_step_by_step_equals_one_call(case: Case):
    _, expected = case.apply(case.state, case.x, MIXED)
    state, outputs = case.state, []
    for t in range(T):
        state, y = case.apply(state, case.x[t : t + 1], MIXED[t : t + 1])
        outputs.append(y)
    np.testing.assert_allclose(np.concatenate(outputs), expected, **TOLERANCE)


def test_two_halves_equal_one_call_and_leave_the_same_memory(case: Case):
    whole_state, expected = case.apply(case.state, case.x, MIXED)
    state, first = case.apply(case.state, case.x[:HALF], MIXED[:HALF])
    state, second = case.apply(state, case.x[HALF:], MIXED[HALF:])
    np.testing.assert_allclose(np.concatenate([first, second]), expected, **TOLERANCE)
    # A memory is opaque; equal ones are those that lead to equal futures.
    _, future = case.apply(state, case.x[:HALF], resets()[:HALF])
    _, whole_future = case.apply(whole_state, case.x[:HALF], resets()[:HALF])
    np.testing.assert_allclose(future, whole_future, **TOLERANCE)


def test_a_reset_is_a_fresh_start(case: Case):
    reset = resets(*((HALF, row) for row in range(B)))
    state, y = case.apply(case.state, case.x, reset)
    fresh_state, fresh = case.apply(case.model.initial_state(B), case.x[HALF:], reset[:HALF])
    np.testing.assert_allclose(y[HALF:], fresh, **TOLERANCE)
    _, future = case.apply(state, case.x[:HALF], reset[:HALF])
    _, fresh_future = case.apply(fresh_state, case.x[:HALF], reset[:HALF])
    np.testing.assert_allclose(future, fresh_future, **TOLERANCE)


def test_no_gradient_crosses_a_reset(case: Case):
    # Row 0 counts its outputs from a reset on, row 1 is reset at once, row 2 never: there memory must show.
    reset = resets((HALF, 0), (0, 1))
    counted = np.ones((T, B, 1), np.float32)
    counted[:HALF, 0] = 0
    weights = counted * noise(T, seed=3)

    def loss(state, x):
        return jnp.sum(case.model.apply(case.params, state, x, reset)[1] * weights)

    @jit
    def gradients(state, x):
        d_state, d_x = jax.grad(loss, argnums=(0, 1), allow_int=True)(state, x)
        return [leaf for leaf in jax.tree.leaves(d_state) if leaf.dtype != jax.dtypes.float0], d_x

    d_state, d_x = gradients(case.state, case.x)
    assert np.all(np.asarray(d_x[:HALF, 0]) == 0)
    assert np.all(np.any(np.asarray(d_x[HALF:, 0]) != 0, axis=-1))
    for leaf in d_state:
        assert np.all(np.asarray(leaf[:2]) == 0)
    if case.name != "mlp":
        assert any(np.any(np.asarray(leaf[2]) != 0) for leaf in d_state)


def test_what_is_not_finite_stays_before_a_reset(case: Case):
    reset = resets((HALF, 0), (HALF, 1), (0, 2))
    spoilt_x = case.x.at[:HALF, 0].set(jnp.nan).at[:HALF, 1].set(jnp.inf)
    spoilt_state = with_row(case.state, 2, np.nan)
    state, y = case.apply(case.state, case.x, reset)
    after_spoilt, after = case.apply(spoilt_state, spoilt_x, reset)
    assert np.all(np.isfinite(after[HALF:]))
    np.testing.assert_array_equal(after[HALF:], y[HALF:])
    np.testing.assert_array_equal(after[:, 2], y[:, 2])
    # Nor does it lie in wait in the memory.
    _, future = case.apply(state, case.x[:HALF], resets()[:HALF])
    _, after_future = case.apply(after_spoilt, case.x[:HALF], resets()[:HALF])
    np.testing.assert_array_equal(after_future, future)


def test_outputs_do_not_depend_on_later_inputs_or_resets(case: Case):
    _, y = case.apply(case.state, case.x, resets())
    later = np.arange(T)[:, None, None] >= HALF
    _, changed = case.apply(case.state, case.x + later, resets((HALF, 0), (T - 1, 1)))
    np.testing.assert_array_equal(changed[:HALF], y[:HALF])
    assert np.all(np.any(np.asarray(changed[HALF:] != y[HALF:]), axis=-1))


def test_rows_are_independent(case: Case):
    state, y = case.apply(case.state, case.x, MIXED)
    other_x, other_reset = case.x.at[:, 0].add(1), MIXED.at[:, 0].set(~MIXED[:, 0])
    changed_state, changed = case.apply(with_row(case.state, 0, 1.0), other_x, other_reset)
    np.testing.assert_array_equal(changed[:, 1:], y[:, 1:])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1:], b[1:]), changed_state, state)
    assert np.all(np.any(np.asarray(changed[:, 0] != y[:, 0]), axis=-1))


def test_memory_keeps_its_structure_shapes_and_dtypes(case: Case):
    empty = case.model.initial_state(B)
    for num_steps in (1, T):
        state, y = case.apply(empty, case.x[:num_steps], MIXED[:num_steps])
        assert y.shape == (num_steps, B, H) and y.dtype == jnp.float32
        assert jax.tree.structure(state) == jax.tree.structure(empty)
        assert jax.tree.map(jax.typeof, state) == jax.tree.map(jax.typeof, empty)


def test_acting_is_traced_once(case: Case):
    state = case.model.initial_state(B)
    for t in range(3):
        state, _ = case.apply(state, case.x[t : t + 1], MIXED[t : t + 1])
    assert case.num_traces[1] == 1


@pytest.mark.parametrize(
    "spec", [MLPSpec(width=H), TransformerSpec(width=H, num_heads=2, window=1)], ids=lambda spec: spec.kind
)
def test_a_model_without_memory_sees_one_step_only(spec: MLPSpec | TransformerSpec):
    model, x = spec.build(), noise(T, seed=0)
    empty = model.initial_state(B)
    params = jit(model.init)(KEY, empty, x, MIXED)
    order = np.array([5, 2, 0, 1, 3, 4])
    apply = jit(model.apply)
    _, y = apply(params, empty, x, MIXED)
    _, shuffled = apply(params, empty, x[order], MIXED)
    np.testing.assert_allclose(shuffled, y[order], **TOLERANCE)
