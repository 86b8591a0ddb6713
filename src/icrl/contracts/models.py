"""The contract of sequence models (`icrl.models.sequence`)."""

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icrl.compiling import jit_for_one_run
from icrl.contracts import Finding, examine, how_broken, require, require_close, require_equal
from icrl.models import ModelSpec, SequenceModel
from icrl.types import PyTree

T, B = 6, 3
"""Steps and rows of the sequence."""
HALF = T // 2


@dataclass(frozen=True)
class ModelCase:
    """A model with parameters, a sequence, and a memory that has already seen something."""

    spec: ModelSpec
    model: SequenceModel
    params: PyTree
    x: jax.Array
    state: PyTree
    apply: Callable[..., tuple[PyTree, jax.Array]]
    """``apply(state, x, reset)``, compiled."""
    num_traces: Counter[int] = field(default_factory=Counter)
    """How often ``apply`` was traced for each number of steps."""

    @classmethod
    def of(cls, spec: ModelSpec, jit: Callable[..., Any] = jit_for_one_run) -> "ModelCase":
        """The case of a model, with memory from three steps of noise."""
        model = spec.build()
        empty, never, x = model.initial_state(B), resets(), noise(T, spec.width, seed=2)
        key = jax.random.key(0, impl="rbg")  # compiles faster than the default
        params: PyTree = jit(model.init)(key, empty, x, never)
        num_traces: Counter[int] = Counter()

        @jit
        def apply(state, x, reset):
            num_traces[len(x)] += 1
            return model.apply(params, state, x, reset)

        state, _ = apply(empty, noise(HALF, spec.width, seed=1), never[:HALF])
        return cls(spec, model, params, x, state, apply, num_traces)


def noise(num_steps: int, width: int, seed: int) -> jax.Array:
    """Standard normal inputs ``[T, B, H]``."""
    return jnp.float32(np.random.default_rng(seed).normal(size=(num_steps, B, width)))


def resets(*steps_and_rows: tuple[int, int]) -> jax.Array:
    """Flags ``[T, B]``, true at these."""
    flags = np.zeros((T, B), bool)
    for step, row in steps_and_rows:
        flags[step, row] = True
    return jnp.asarray(flags)


def mixed() -> jax.Array:
    """Row 0 starts with a reset and has another, row 1 has one halfway, row 2 ends with one."""
    return resets((0, 0), (2, 0), (HALF, 1), (T - 1, 2))


def with_row(state: PyTree, row: int, value: float) -> PyTree:
    """A memory where all numbers of a row are replaced; what is no number stays."""

    def replaced(leaf: jax.Array) -> np.ndarray:
        array = np.array(leaf)
        if np.issubdtype(array.dtype, np.floating):
            array[row] = value
        return array

    return jax.tree.map(replaced, state)


def spec_is_a_value(case: ModelCase) -> None:
    """The spec is a value: hashable, equal to another of the same fields; build(name) gives the model that name."""
    same = replace(case.spec)
    require((same, hash(same)) == (case.spec, hash(case.spec)), "one of the same fields is not equal to it")
    name = case.spec.build(name="model").name
    require(
        name == "model", f"build(name='model') gives a model named {name!r}; hand the name on: MyModel(..., name=name)"
    )


def memory_keeps_its_types(case: ModelCase) -> None:
    """Outputs are float32 [T, B, H], and the memory keeps its structure, shapes [B, ...] and dtypes at every step."""
    empty = case.model.initial_state(B)
    for leaf in jax.tree.leaves(empty):
        require(
            jnp.shape(leaf)[:1] == (B,), f"initial_state({B}) has a leaf of shape {jnp.shape(leaf)}; rows come first"
        )
    for num_steps in (1, T):
        state, y = case.apply(empty, case.x[:num_steps], mixed()[:num_steps])
        expected = (num_steps, B, case.spec.width)
        require(y.shape == expected, f"of {num_steps} steps the output has shape {y.shape}; expected {expected}")
        require(y.dtype == jnp.float32, f"the output is {y.dtype}; expected float32")
        old, new = jax.tree.structure(empty), jax.tree.structure(state)
        require(old == new, f"the memory was {old} and is {new} after {num_steps} steps")
        old, new = ([str(jax.typeof(leaf)) for leaf in jax.tree.leaves(tree)] for tree in (empty, state))
        require(old == new, f"the memory was {', '.join(old)} and is {', '.join(new)} after {num_steps} steps")


def parameters_are_real(case: ModelCase) -> None:
    """Parameters are real floating-point numbers, and finite."""
    for leaf in jax.tree.leaves(case.params):
        require(jnp.issubdtype(leaf.dtype, jnp.floating), f"one of shape {leaf.shape} is {leaf.dtype}")
        require(jnp.isfinite(leaf).all(), f"one of shape {leaf.shape} is not finite at the start")


def step_by_step_is_one_call(case: ModelCase) -> None:
    """One call on T steps gives what T calls on one step give."""
    _, expected = case.apply(case.state, case.x, mixed())
    state, outputs = case.state, []
    for t in range(T):
        state, y = case.apply(state, case.x[t : t + 1], mixed()[t : t + 1])
        outputs.append(np.asarray(y))
    require_close(np.concatenate(outputs), expected, "output [step, row, feature], step by step")


def two_halves_are_one_call(case: ModelCase) -> None:
    """Two halves give what one call gives, and leave a memory that leads to the same future."""
    whole_state, expected = case.apply(case.state, case.x, mixed())
    state, first = case.apply(case.state, case.x[:HALF], mixed()[:HALF])
    state, second = case.apply(state, case.x[HALF:], mixed()[HALF:])
    require_close(np.concatenate([first, second]), expected, "output [step, row, feature], by halves")
    # A memory is opaque; equal ones are those that lead to equal futures.
    _, future = case.apply(state, case.x[:HALF], resets()[:HALF])
    _, whole_future = case.apply(whole_state, case.x[:HALF], resets()[:HALF])
    require_close(future, whole_future, "output [step, row, feature] after both halves")


def reset_is_a_fresh_start(case: ModelCase) -> None:
    """A reset within a sequence gives what a separate run from the cleared memory gives."""
    reset = resets(*((HALF, row) for row in range(B)))
    state, y = case.apply(case.state, case.x, reset)
    fresh_state, fresh = case.apply(case.model.initial_state(B), case.x[HALF:], reset[:HALF])
    require_close(y[HALF:], fresh, "output [step, row, feature] from the reset on")
    _, future = case.apply(state, case.x[:HALF], reset[:HALF])
    _, fresh_future = case.apply(fresh_state, case.x[:HALF], reset[:HALF])
    require_close(future, fresh_future, "output [step, row, feature] later still")


def no_gradient_crosses_a_reset(case: ModelCase) -> None:
    """No gradient crosses a reset: neither to inputs before it nor to the memory it clears."""
    # Row 0 counts its outputs from a reset on, row 1 is reset at once, row 2 never.
    d_state, d_x = gradients(case)
    require(np.all(d_x[:HALF, 0] == 0), "outputs after a reset have a gradient to inputs before it")
    for leaf in d_state:
        require(np.all(leaf[:2] == 0), "outputs after a reset have a gradient to the memory before it")
    require(np.any(d_x[HALF:, 0] != 0), "no output has a gradient to any input")


def gradients(case: ModelCase) -> tuple[list[np.ndarray], np.ndarray]:
    """Of weighted outputs, to the memory's leaves and the inputs.

    Row 0 counts from a reset halfway on, row 1 is reset at once, row 2 never: there memory may show.
    """
    reset, width = resets((HALF, 0), (0, 1)), case.spec.width
    counted = np.ones((T, B, 1), np.float32)
    counted[:HALF, 0] = 0
    weights = counted * noise(T, width, seed=3)

    def loss(state: PyTree, x: jax.Array) -> jax.Array:
        outputs: Any = case.model.apply(case.params, state, x, reset)
        return jnp.sum(outputs[1] * weights)

    @jit_for_one_run
    def of(state: PyTree, x: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        d_state, d_x = jax.grad(loss, argnums=(0, 1), allow_int=True)(state, x)
        return [leaf for leaf in jax.tree.leaves(d_state) if leaf.dtype != jax.dtypes.float0], d_x

    return jax.device_get(of(case.state, case.x))


def gradients_are_finite(case: ModelCase) -> None:
    """Gradients to all parameters are finite, and one at least is not zero."""

    @jit_for_one_run
    def of(params: PyTree) -> PyTree:
        def loss(params: PyTree) -> jax.Array:
            outputs: Any = case.model.apply(params, case.state, case.x, mixed())
            return jnp.sum(outputs[1] * noise(T, case.spec.width, seed=3))

        return jax.grad(loss)(params)

    named, _ = jax.tree.flatten_with_path(jax.device_get(of(case.params)))
    for path, leaf in named:
        require(np.isfinite(leaf).all(), f"that to {jax.tree_util.keystr(path)} is not")
    require(not named or any(np.any(leaf != 0) for _, leaf in named), "all are zero")


def what_is_not_finite_stays_before_a_reset(case: ModelCase) -> None:
    """NaN and infinity before a reset, in inputs or memory, leave no trace after it."""
    reset = resets((HALF, 0), (HALF, 1), (0, 2))
    spoilt_x = case.x.at[:HALF, 0].set(jnp.nan).at[:HALF, 1].set(jnp.inf)
    state, y = case.apply(case.state, case.x, reset)
    after_spoilt, after = case.apply(with_row(case.state, 2, np.nan), spoilt_x, reset)
    advice = "choose the cleared memory with jnp.where (icrl.types.select_rows): 0 * NaN is NaN"
    require(np.all(np.isfinite(after[HALF:])), f"outputs after the reset are not finite; {advice}")
    require_equal(after[HALF:], y[HALF:], "output [step, row, feature] after the reset")
    require_equal(after[:, 2], y[:, 2], "output [step, feature] of a row that is reset at once")
    # Nor does it lie in wait in the memory.
    _, future = case.apply(state, case.x[:HALF], resets()[:HALF])
    _, after_future = case.apply(after_spoilt, case.x[:HALF], resets()[:HALF])
    require_equal(after_future, future, "output [step, row, feature] later still")


def nothing_looks_ahead(case: ModelCase) -> None:
    """Outputs do not depend on later inputs or resets."""
    _, y = case.apply(case.state, case.x, resets())
    later = np.arange(T)[:, None, None] >= HALF
    _, changed = case.apply(case.state, case.x + later, resets((HALF, 0), (T - 1, 1)))
    require_equal(changed[:HALF], y[:HALF], "output [step, row, feature] before inputs that were changed")


def rows_are_independent(case: ModelCase) -> None:
    """A row's outputs and memory do not depend on other rows."""
    state, y = case.apply(case.state, case.x, mixed())
    other_x, other_reset = case.x.at[:, 0].add(1), mixed().at[:, 0].set(~mixed()[:, 0])
    changed_state, changed = case.apply(with_row(case.state, 0, 1.0), other_x, other_reset)
    require_equal(changed[:, 1:], y[:, 1:], "output [step, row - 1, feature] beside a row that was changed")
    others = functools.partial(jax.tree.map, lambda leaf: leaf[1:])
    require_equal(others(changed_state), others(state), "memory of the other rows")


def acting_is_traced_once(case: ModelCase) -> None:
    """Acting step after step is traced once."""
    state = case.model.initial_state(B)
    for t in range(3):
        state, _ = case.apply(state, case.x[t : t + 1], mixed()[t : t + 1])
    traced = case.num_traces[1]
    require(traced == 1, f"it was traced {traced} times; the types of the memory change, perhaps only weak ones")


def seeds_run_side_by_side(case: ModelCase) -> None:
    """Several seeds under vmap give what each gives alone."""

    def outputs(params: PyTree) -> jax.Array:
        both: Any = case.model.apply(params, case.state, case.x, mixed())
        return both[1]

    half = jax.tree.map(lambda leaf: 0.5 * leaf, case.params)
    both = jit_for_one_run(jax.vmap(outputs))(jax.tree.map(lambda *leaves: jnp.stack(leaves), case.params, half))
    _, alone = case.apply(case.state, case.x, mixed())
    require_close(both[0], alone, "output [step, row, feature] beside another seed")


MODEL_CONTRACT = (
    spec_is_a_value,
    memory_keeps_its_types,
    parameters_are_real,
    step_by_step_is_one_call,
    two_halves_are_one_call,
    reset_is_a_fresh_start,
    no_gradient_crosses_a_reset,
    gradients_are_finite,
    what_is_not_finite_stays_before_a_reset,
    nothing_looks_ahead,
    rows_are_independent,
    acting_is_traced_once,
    seeds_run_side_by_side,
)


def examine_model(spec: ModelSpec) -> list[Finding]:
    """What becomes of every part of the contract for the model of a spec."""
    cases: list[ModelCase] = []
    broken = how_broken(lambda: cases.append(ModelCase.of(spec)))
    built = Finding("It is built, initialised, and run on a sequence", broken)
    return [built, *examine(MODEL_CONTRACT, cases[0])] if cases else [built]
