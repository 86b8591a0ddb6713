"""The resettable linear recurrence at the heart of S5, and its schedules.

For every row and every state pair p, with ``d_t`` the reset flag (1 clears the state *before* input t):

    x_t = lambda_t * (1 - d_t) x_{t-1} + u_t,      t = 0 .. T-1,   x_{-1} given

Eigenvalues are the same at all steps of all rows, ``[N]``, or each step's own, ``[T, B, N]``; every schedule takes
either, and where they are the same computes nothing on account of those that are not.

`reference_scan` is the paper's own formulation, an associative scan over three-element tuples (arXiv 2303.03982,
section 3.2). It is the oracle; `resettable_scan` computes the same values and gradients faster, by

- keeping complex numbers as real and imaginary halves of the last axis, so that the matrix products around the scan
  are single real ones and neither optimiser nor checkpoint ever meets a complex number;
- folding the reset into the state instead of carrying it through the operator;
- a hand-written backward pass. The adjoint ``g_t = dL/dx_t + conj(lambda_{t+1}) (1 - d_{t+1}) g_{t+1}`` is the same
  recurrence run backwards, and ``dL/dlambda_t = conj((1 - d_t) x_{t-1}) g_t``, summed where one eigenvalue serves all
  steps: only the states are stored.

Schedules: ``sequential`` is one pass over time (least arithmetic: best on a CPU); ``kernel`` is that, as one program
of a GPU (`icrl.models.scan_kernel`: best there); ``parallel`` is an associative scan of logarithmic depth, for other
accelerators; ``chunked`` cuts time into chunks that it passes through side by side, twice: to learn what leaves each,
and, once it is known what enters each, for the states (fewer passes over memory than ``parallel``, with more steps);
``plain`` is the reference itself, for comparison; ``auto`` chooses.
"""

from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from icrl.models.pairs import Pair, to_complex, to_halves

Schedule = Literal["auto", "sequential", "chunked", "parallel", "kernel", "plain"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

FEWEST_STATES = 16
"""Complex numbers a step from which on a CPU is faster one step after the other (``icrl benchmark --scan``)."""

CHUNK_STEPS = 32
"""Steps of a chunk that ``chunked`` aims at."""


def reference_scan(
    lambda_P: Complex[Array, " P"] | Complex[Array, "T B P"],
    u_TBP: Complex[Array, "T B P"],
    reset_TB: Bool[Array, "T B"],
    x_BP: Complex[Array, "B P"],
) -> Complex[Array, "T B P"]:
    """The paper's operator, written plainly in complex arithmetic; gives all states.

    Elements are ``(A, b, d)``. With ``d_j = 0``: ``e_i o e_j = (A_j A_i, A_j b_i + b_j, d_i)``; with ``d_j = 1``:
    ``(A_j, b_j, d_j)``. The given state enters as a prepended element whose ``b`` it is.
    """

    def operator(e_i, e_j):
        A_i, b_i, d_i = e_i
        A_j, b_j, d_j = e_j
        return (
            jnp.where(d_j, A_j, A_j * A_i),
            jnp.where(d_j, b_j, A_j * b_i + b_j),
            jnp.where(d_j, d_j, d_i),
        )

    def scan_row(own, u_TP, reset_T, x_P):
        # Any A will do for the prepended element: it is never used.
        A = jnp.concatenate([own[:1], own]) if varies(own) else jnp.broadcast_to(own, (len(u_TP) + 1, own.size))
        b = jnp.concatenate([x_P[None], u_TP])
        d = jnp.concatenate([jnp.zeros_like(reset_T[:1]), reset_T])[:, None]
        return jax.lax.associative_scan(operator, (A, b, jnp.broadcast_to(d, A.shape)))[1][1:]

    rows = 1 if varies(lambda_P) else None
    return jax.vmap(scan_row, in_axes=(rows, 1, 1, 0), out_axes=1)(lambda_P, u_TBP, reset_TB, x_BP)


def resettable_scan(
    lambda_2P: Float[Array, " N"] | Float[Array, "T B N"],
    u_TB2P: Float[Array, "T B N"],
    reset_TB: Bool[Array, "T B"],
    x_B2P: Float[Array, "B N"],
    schedule: Schedule = "auto",
) -> Float[Array, "T B N"]:
    """All states of the recurrence above; complex numbers as halves of the last axis, N = 2P.

    Differentiable in everything but ``reset_TB``. Values before a reset, finite or not, do not reach beyond it. Nor do
    gradients, but for that of ``lambda_2P``, products with the states, and those of ``plain``: NaN where a value was.
    """
    schedule = resolve(schedule, num_steps=u_TB2P.shape[0], num_states=x_B2P.size // 2)
    if schedule == "plain":
        return to_halves(reference_scan(to_complex(lambda_2P), to_complex(u_TB2P), reset_TB, to_complex(x_B2P)))
    if schedule not in FAST:
        raise ValueError(f"schedule: got {schedule!r}; expected one of {', '.join(SCHEDULES)}")
    return _scan(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule)


def resolve(schedule: Schedule, *, num_steps: int, num_states: int) -> Schedule:
    """What ``auto`` stands for on the default backend, for ``num_steps`` of ``num_states = B * P`` complex numbers.

    A CPU is faster one step after the other at every length measured, unless a step is tiny; and it then compiles in a
    fifteenth of the time. A GPU is fastest with the kernel at every size measured (docs/decisions.md).
    """
    if schedule != "auto":
        return schedule
    backend = jax.default_backend()
    if num_steps == 1 or (backend == "cpu" and num_states >= FEWEST_STATES):
        return "sequential"
    return "kernel" if backend == "gpu" else "parallel"


def varies(eigenvalues: Any) -> bool:
    """Whether steps have eigenvalues of their own, in an array or, within a kernel, a reference to one."""
    return len(eigenvalues.shape) > 1


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _scan(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule):
    states, _ = FAST[schedule]
    return states(lambda_2P, u_TB2P, reset_TB, x_B2P)


def _forward(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule):
    x_TB2P = _scan(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule)
    return x_TB2P, (lambda_2P, reset_TB, x_B2P, x_TB2P)


def _backward(schedule, residuals, dx_TB2P):
    _, gradients = FAST[schedule]
    lambda_2P, reset_TB, x_B2P, x_TB2P = residuals
    dlambda_2P, du_TB2P, dx_B2P = gradients(lambda_2P, reset_TB, x_B2P, x_TB2P, dx_TB2P)
    return dlambda_2P, du_TB2P, None, dx_B2P


_scan.defvjp(_forward, _backward)


# ---- In chunks of time: within each, one loop that reads and writes the halves of the big arrays where they lie.


def _states_in_chunks(num_chunks, lambda_2P, u_TB2P, reset_TB, x_B2P):
    u, reset = _chunks(u_TB2P, num_chunks), _chunks(reset_TB, num_chunks)
    lambda_at = _eigenvalues_in_chunks(num_chunks, lambda_2P)

    def advance(i, x):
        return lambda_at(i).times(x.cleared(_at(reset, i))).plus(_pair_at(u, i))

    def step(i, carry):
        x = advance(i, carry[0])
        return x, _set_at(carry[1], i, x)

    x = _entering(advance, lambda_at, Pair.of(x_B2P), reset)
    return jax.lax.fori_loop(0, u.shape[1], step, (x, _unwritten(u)))[1].reshape(u_TB2P.shape)


def _gradients_in_chunks(num_chunks, lambda_2P, reset_TB, x_B2P, x_TB2P, dx_TB2P):
    reset, x, dx = (_chunks(array, num_chunks) for array in (reset_TB, x_TB2P, dx_TB2P))
    lambda_at = _eigenvalues_in_chunks(num_chunks, lambda_2P)
    last = x.shape[1] - 1
    first = Pair.of(jnp.concatenate([x_B2P[None], x[:-1, last]]))

    def advance(i, dx_i):  # through step last - i, backwards
        t = last - i
        g = dx_i.plus(_pair_at(dx, t))
        return lambda_at(t).conjugate.times(g).cleared(_at(reset, t)), g

    def step(i, carry):
        t = last - i
        dx_i, dlambda, written = carry
        before = Pair(*(jnp.where(t == 0, *parts) for parts in zip(first, _pair_at(x, t - 1), strict=True)))
        dx_i, g = advance(i, dx_i)
        dlambda_t = before.cleared(_at(reset, t)).conjugate.times(g)
        dlambda = _set_at(dlambda, t, dlambda_t) if varies(lambda_2P) else dlambda.plus(dlambda_t)
        return dx_i, dlambda, _set_at(written, t, g)

    zero = Pair.of(jnp.zeros_like(x_B2P))
    leaving = _entering(
        lambda i, dx_i: advance(i, dx_i)[0], lambda t: lambda_at(t).conjugate, zero, reset, reverse=True
    )
    nothing = _unwritten(dx) if varies(lambda_2P) else Pair(*map(jnp.zeros_like, leaving))
    dx_0, dlambda, g = jax.lax.fori_loop(0, last + 1, step, (leaving, nothing, _unwritten(dx)))
    dlambda = dlambda.reshape(lambda_2P.shape) if varies(lambda_2P) else dlambda.halves.sum((0, 1))
    return dlambda, g.reshape(dx_TB2P.shape), Pair(*(part[0] for part in dx_0)).halves


def _eigenvalues_in_chunks(num_chunks, lambda_2P):
    """What they are at step t of every chunk, as a function of t: ``[P]`` or ``[K, B, P]``."""
    if varies(lambda_2P):
        return partial(_pair_at, _chunks(lambda_2P, num_chunks))
    lambda_P = Pair.of(lambda_2P)
    return lambda t: lambda_P


def _entering(advance, lambda_at, x_BP, reset_KCB, *, reverse=False):
    """What enters each of K chunks of C steps, ``[K, B, P]``, if ``x_BP`` enters the first: two passes over them.

    The first takes every chunk from zero to its end, all at once; the second goes from chunk to chunk.
    """
    num_chunks, num_steps, _ = reset_KCB.shape
    if num_chunks == 1:
        return Pair(*(part[None] for part in x_BP))
    zero = Pair(*(jnp.zeros((num_chunks, *part.shape), part.dtype) for part in x_BP))
    ends = jax.lax.fori_loop(0, num_steps, advance, zero)
    through = lambda_at(0)
    for t in range(1, num_steps):
        through = through.times(lambda_at(t))
    through = Pair(*(jnp.broadcast_to(part, end.shape) for part, end in zip(through, ends, strict=True)))

    def chunk(x, own):
        end, through, cut = own
        return through.times(x).cleared(cut).plus(end), x

    return jax.lax.scan(chunk, x_BP, (ends, through, reset_KCB.any(1)), reverse=reverse)[1]


def _chunks(array, num_chunks):
    """``[T, B, ...]`` as ``[K, T / K, B, ...]``."""
    return array.reshape(num_chunks, -1, *array.shape[1:])


def _unwritten(like):
    return jax.lax.empty(like.shape, like.dtype)


def _at(array_KCB, t):
    return jax.lax.dynamic_index_in_dim(array_KCB, t, axis=1, keepdims=False, allow_negative_indices=False)


def _pair_at(array_KCB2P, t):
    num_chunks, _, num_rows, size = array_KCB2P.shape
    shape = num_chunks, 1, num_rows, size // 2
    return Pair(
        *(
            jax.lax.dynamic_slice(array_KCB2P, (0, t, 0, start), shape, allow_negative_indices=False)[:, 0]
            for start in (0, size // 2)
        )
    )


def _set_at(array_KCB2P, t, x_KBP):
    for start, part in zip((0, array_KCB2P.shape[-1] // 2), x_KBP, strict=True):
        at = 0, t, 0, start
        array_KCB2P = jax.lax.dynamic_update_slice(array_KCB2P, part[:, None], at, allow_negative_indices=False)
    return array_KCB2P


def _states_chunked(lambda_2P, u_TB2P, reset_TB, x_B2P):
    return _states_in_chunks(chunks_of(len(u_TB2P)), lambda_2P, u_TB2P, reset_TB, x_B2P)


def _gradients_chunked(lambda_2P, reset_TB, x_B2P, x_TB2P, dx_TB2P):
    return _gradients_in_chunks(chunks_of(len(x_TB2P)), lambda_2P, reset_TB, x_B2P, x_TB2P, dx_TB2P)


def chunks_of(num_steps: int) -> int:
    """The number of equal chunks that ``chunked`` divides ``num_steps`` into: of `CHUNK_STEPS` each, or near it.

    One chunk, which is the sequential schedule, where no divisor is near.
    """
    near = [steps for steps in range(CHUNK_STEPS // 2, 2 * CHUNK_STEPS + 1) if num_steps % steps == 0]
    return num_steps // min(near, key=lambda steps: abs(steps - CHUNK_STEPS), default=num_steps)


# ---- Parallel: an associative scan over (a, b, d), where a is zero at a reset.


def _states_parallel(lambda_2P, u_TB2P, reset_TB, x_B2P):
    return _associative(lambda_2P, u_TB2P, reset_TB, x_B2P, reverse=False)


def _gradients_parallel(lambda_2P, reset_TB, x_B2P, x_TB2P, dx_TB2P):
    # Going backwards, what lies between steps t+1 and t is the eigenvalue, and the reset flag, of step t+1.
    later_2P = jnp.concatenate([lambda_2P[1:], lambda_2P[:1]]) if varies(lambda_2P) else lambda_2P
    later_reset_TB = jnp.concatenate([reset_TB[1:], jnp.zeros_like(reset_TB[:1])])
    conjugate_2P = Pair.of(later_2P).conjugate.halves
    g_TB2P = _associative(conjugate_2P, dx_TB2P, later_reset_TB, jnp.zeros_like(x_B2P), reverse=True)
    before = Pair.of(jnp.concatenate([x_B2P[None], x_TB2P[:-1]])).cleared(reset_TB)
    dlambda = before.conjugate.times(Pair.of(g_TB2P)).halves
    first = Pair.of(lambda_2P[0] if varies(lambda_2P) else lambda_2P)
    dx = first.conjugate.times(Pair.of(g_TB2P[0])).cleared(reset_TB[0])
    return dlambda if varies(lambda_2P) else dlambda.sum((0, 1)), g_TB2P, dx.halves


def _associative(lambda_2P, u_TB2P, reset_TB, x_B2P, *, reverse):
    u = Pair.of(u_TB2P)
    a = Pair(*(jnp.broadcast_to(part, u.real.shape) for part in Pair.of(lambda_2P)))
    first = -1 if reverse else 0
    entering = Pair(*(part[first] for part in a)).times(Pair.of(x_B2P)).cleared(reset_TB[first])
    u = Pair(*(part.at[first].add(start) for part, start in zip(u, entering, strict=True)))
    a = a.cleared(reset_TB)
    cut = jnp.broadcast_to(reset_TB[..., None], u.real.shape)

    def operator(e_i, e_j):
        a_i, b_i, d_i = e_i
        a_j, b_j, d_j = e_j
        # Where step j resets, a_j is zero; the choice only matters for what is not finite.
        carried = Pair(*(jnp.where(d_j, 0.0, part) for part in a_j.times(b_i)))
        return a_j.times(a_i), carried.plus(b_j), d_i | d_j

    return jax.lax.associative_scan(operator, (a, u, cut), reverse=reverse)[1].halves


# ---- Kernel: the module, and Pallas with it, is loaded when it is first used.


def _states_kernel(*inputs):
    from icrl.models import scan_kernel

    return scan_kernel.states(*inputs)


def _gradients_kernel(*inputs):
    from icrl.models import scan_kernel

    return scan_kernel.gradients(*inputs)


FAST = {
    "sequential": (partial(_states_in_chunks, 1), partial(_gradients_in_chunks, 1)),
    "chunked": (_states_chunked, _gradients_chunked),
    "parallel": (_states_parallel, _gradients_parallel),
    "kernel": (_states_kernel, _gradients_kernel),
}
"""Schedules with a backward pass of their own: what computes the states, and from them the gradients."""
