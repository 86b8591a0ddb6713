"""The resettable scan of `icrl.models.scan` as one program of a GPU, by Pallas.

Every program of the grid takes some pairs of one row through all of time and keeps their state in registers, so that
forwards each of the two big arrays, and backwards each of the three, is moved through the GPU's memory once. That is
the least there is to move; eigenvalues of every step's own are one such array more, backwards two with their gradients.

Pallas's Triton backend is deprecated since JAX 0.11 and part of it up to 0.12. On a CPU the kernel is interpreted,
which is for tests.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from icrl.models.pairs import Pair
from icrl.models.scan import varies

LANES = 32
"""Most pairs that a program takes: the threads of a warp."""
UNROLL = 8
"""Steps whose inputs are loaded before the first of them is taken, so that loading and computing overlap."""


def states(lambda_2P: jax.Array, u_TB2P: jax.Array, reset_TB: jax.Array, x_B2P: jax.Array) -> jax.Array:
    """All states ``[T, B, 2P]``; see `icrl.models.scan.resettable_scan`."""
    shape = jax.ShapeDtypeStruct(u_TB2P.shape, u_TB2P.dtype)
    return _call(_states, shape, lambda_2P, reset_TB.astype(jnp.int32), x_B2P, u_TB2P)


def gradients(
    lambda_2P: jax.Array, reset_TB: jax.Array, x_B2P: jax.Array, x_TB2P: jax.Array, dx_TB2P: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of a loss to eigenvalues, inputs and first state, from those to the states, ``dx_TB2P``."""
    of_all, of_row = (jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (x_TB2P, x_B2P))
    inputs = lambda_2P, reset_TB.astype(jnp.int32), x_B2P, x_TB2P, dx_TB2P
    of_lambda = of_all if varies(lambda_2P) else of_row
    du_TB2P, dlambda, dx_B2P = _call(_gradients, (of_all, of_lambda, of_row), *inputs)
    return dlambda if varies(lambda_2P) else dlambda.sum(0), du_TB2P, dx_B2P


def _call(kernel: Callable[..., None], results: Any, *inputs: jax.Array) -> Any:
    """Runs a kernel, whose last input is ``[T, B, 2P]``."""
    num_steps, num_rows, size = inputs[-1].shape
    lanes = min(LANES, size // 2 & -(size // 2))  # a power of two that divides P
    interpreted = jax.default_backend() == "cpu"
    return pl.pallas_call(
        partial(kernel, num_steps=num_steps, lanes=lanes),
        results,
        grid=(num_rows, size // 2 // lanes),
        interpret=interpreted,
        compiler_params=None if interpreted else triton.CompilerParams(num_warps=1, num_stages=1),
    )(*inputs)


def _states(lambda_2P, reset_TB, x_B2P, u_TB2P, x_TB2P, *, num_steps, lanes):
    row, at = _position(u_TB2P, lanes)
    lambda_at = _eigenvalues(lambda_2P, at, row)

    def advance(steps, x):
        loaded = [(lambda_at(t), _load(u_TB2P, at, t, row), reset_TB[t, row]) for t in steps]
        for t, (lambda_P, u, reset) in zip(steps, loaded, strict=True):
            x = lambda_P.times(_unless(reset, x)).plus(u)
            _store(x_TB2P, at, x, t, row)
        return x

    _in_steps(num_steps, advance, _load(x_B2P, at, row))


def _gradients(lambda_2P, reset_TB, x_B2P, x_TB2P, dx_TB2P, du_TB2P, dlambda_2P, dx_B2P, *, num_steps, lanes):
    row, at = _position(dx_TB2P, lanes)
    conjugate_at, first = _eigenvalues(lambda_2P, at, row, conjugate=True), _load(x_B2P, at, row)
    zero = Pair(*map(jnp.zeros_like, first))

    def advance(steps, carry):
        dx, dlambda = carry
        times = [num_steps - 1 - step for step in steps]
        loaded = [
            (
                conjugate_at(t),
                _load(dx_TB2P, at, t, row),
                _load(x_TB2P, at, jnp.maximum(t - 1, 0), row),
                reset_TB[t, row],
            )
            for t in times
        ]
        for t, (conjugate_P, dx_t, before, reset) in zip(times, loaded, strict=True):
            g = dx.plus(dx_t)
            before = Pair(*(jnp.where(t == 0, *parts) for parts in zip(first, before, strict=True)))
            dlambda_t = _unless(reset, before).conjugate.times(g)
            if varies(lambda_2P):
                _store(dlambda_2P, at, dlambda_t, t, row)
            else:
                dlambda = dlambda.plus(dlambda_t)
            _store(du_TB2P, at, g, t, row)
            dx = _unless(reset, conjugate_P.times(g))
        return dx, dlambda

    dx, dlambda = _in_steps(num_steps, advance, (zero, zero))
    if not varies(lambda_2P):
        _store(dlambda_2P, at, dlambda, row)
    _store(dx_B2P, at, dx, row)


def _position(array_TB2P, lanes):
    """The row of this program, and where its pairs lie in the last axis: real parts, imaginary parts."""
    start = pl.program_id(1) * lanes
    return pl.program_id(0), (pl.ds(start, lanes), pl.ds(array_TB2P.shape[-1] // 2 + start, lanes))


def _eigenvalues(lambda_2P, at, row, *, conjugate=False):
    """What they, or their conjugates, are at step t of a row, as a function of t."""

    def load(*index):
        pair = _load(lambda_2P, at, *index)
        return pair.conjugate if conjugate else pair

    if varies(lambda_2P):
        return lambda t: load(t, row)
    of_all_steps = load()
    return lambda t: of_all_steps


def _in_steps(num_steps, advance, carry):
    """Takes `UNROLL` steps at a time, then those that are left."""
    whole = num_steps // UNROLL
    carry = jax.lax.fori_loop(
        0, whole, lambda group, carry: advance([group * UNROLL + i for i in range(UNROLL)], carry), carry
    )
    return advance(range(whole * UNROLL, num_steps), carry)


def _load(array, at, *index):
    return Pair(*(array[(*index, half)] for half in at))


def _store(array, at, pair, *index):
    for half, part in zip(at, pair, strict=True):
        array[(*index, half)] = part


def _unless(reset, pair):
    """Zero if this step resets."""
    return Pair(*(jnp.where(reset != 0, 0.0, part) for part in pair))
