"""The resettable linear recurrence at the heart of S5, and its schedules.

For every row and every state pair p, with ``d_t`` the reset flag (1 clears the state *before* input t):

    x_t = lambda * (1 - d_t) x_{t-1} + u_t,        t = 0 .. T-1,   x_{-1} given

`reference_scan` is the paper's own formulation, an associative scan over three-element tuples (arXiv 2303.03982,
section 3.2). It is the oracle; `resettable_scan` computes the same values and gradients faster, by

- keeping complex numbers as real and imaginary halves of the last axis, so that the matrix products around the scan
  are single real ones and neither optimiser nor checkpoint ever meets a complex number;
- folding the reset into the state instead of carrying it through the operator;
- a hand-written backward pass. The adjoint ``g_t = dL/dx_t + conj(lambda) (1 - d_{t+1}) g_{t+1}`` is the same
  recurrence run backwards, so one schedule serves both directions, and only the states are stored.

Schedules: ``sequential`` is one pass over time (least arithmetic: best on a CPU); ``parallel`` is an associative scan
of logarithmic depth (best on an accelerator); ``auto`` chooses by backend.
"""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp

Schedule = Literal["auto", "sequential", "parallel"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)


def to_halves(z: jax.Array) -> jax.Array:
    """Complex ``[..., P]`` to real ``[..., 2P]``: real parts, then imaginary parts."""
    return jnp.concatenate([z.real, z.imag], axis=-1)


def to_complex(halves: jax.Array) -> jax.Array:
    """Inverse of `to_halves`."""
    real, imag = jnp.split(halves, 2, axis=-1)
    return jax.lax.complex(real, imag)


def multiply(a: jax.Array, b: jax.Array) -> jax.Array:
    """Complex product of two arrays of halves ``[..., 2P]``, broadcasting."""
    (a_re, a_im), (b_re, b_im) = jnp.split(a, 2, axis=-1), jnp.split(b, 2, axis=-1)
    return jnp.concatenate([a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re], axis=-1)


def conjugate(a: jax.Array) -> jax.Array:
    """Complex conjugate of an array of halves."""
    real, imag = jnp.split(a, 2, axis=-1)
    return jnp.concatenate([real, -imag], axis=-1)


def reference_scan(lambda_P: jax.Array, u_TBP: jax.Array, reset_TB: jax.Array, x_BP: jax.Array) -> jax.Array:
    """The paper's operator, written plainly in complex arithmetic; gives all states ``[T, B, P]``.

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

    A = jnp.broadcast_to(lambda_P, (u_TBP.shape[0] + 1, *u_TBP.shape[1:]))
    b = jnp.concatenate([x_BP[None], u_TBP])
    d = jnp.concatenate([jnp.zeros_like(reset_TB[:1]), reset_TB])[..., None]
    return jax.lax.associative_scan(operator, (A, b, jnp.broadcast_to(d, A.shape)))[1][1:]


def resettable_scan(
    lambda_2P: jax.Array,
    u_TB2P: jax.Array,
    reset_TB: jax.Array,
    x_B2P: jax.Array,
    schedule: Schedule = "auto",
) -> jax.Array:
    """All states ``[T, B, 2P]`` of the recurrence above; complex numbers as halves of the last axis.

    Differentiable in everything but ``reset_TB``. Values before a reset, finite or not, do not reach beyond it.
    """
    return _scan(lambda_2P, u_TB2P, reset_TB, x_B2P, resolve(schedule, length=u_TB2P.shape[0]))


def resolve(schedule: Schedule, length: int) -> Schedule:
    """What ``auto`` stands for on the default backend, for sequences of ``length`` steps."""
    if schedule != "auto":
        return schedule
    return "sequential" if length == 1 or jax.default_backend() == "cpu" else "parallel"


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _scan(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule):
    return _run(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule, reverse=False)


def _forward(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule):
    x_TB2P = _run(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule, reverse=False)
    return x_TB2P, (lambda_2P, reset_TB, x_B2P, x_TB2P)


def _backward(schedule, residuals, dx_TB2P):
    lambda_2P, reset_TB, x_B2P, x_TB2P = residuals
    # Going backwards, what lies between steps t+1 and t is the reset flag of step t+1.
    later_reset_TB = jnp.concatenate([reset_TB[1:], jnp.zeros_like(reset_TB[:1])])
    g_TB2P = _run(conjugate(lambda_2P), dx_TB2P, later_reset_TB, jnp.zeros_like(x_B2P), schedule, reverse=True)
    before_TB2P = _clear(reset_TB, jnp.concatenate([x_B2P[None], x_TB2P[:-1]]))
    dlambda_2P = multiply(conjugate(before_TB2P), g_TB2P).sum((0, 1))
    dx_B2P = _clear(reset_TB[0], multiply(conjugate(lambda_2P), g_TB2P[0]))
    return dlambda_2P, g_TB2P, None, dx_B2P


_scan.defvjp(_forward, _backward)


def _clear(reset, x):
    return jnp.where(reset[..., None], 0.0, x)


def _run(lambda_2P, u_TB2P, reset_TB, x_B2P, schedule, *, reverse):
    match schedule:
        case "sequential":
            return _sequential(lambda_2P, u_TB2P, reset_TB, x_B2P, reverse)
        case "parallel":
            return _parallel(lambda_2P, u_TB2P, reset_TB, x_B2P, reverse)
    raise ValueError(f"schedule: got {schedule!r}; expected one of {', '.join(SCHEDULES)}")


def _sequential(lambda_2P, u_TB2P, reset_TB, x_B2P, reverse):
    def step(x, inputs):
        u, reset = inputs
        x = multiply(lambda_2P, _clear(reset, x)) + u
        return x, x

    return jax.lax.scan(step, x_B2P, (u_TB2P, reset_TB), reverse=reverse)[1]


def _parallel(lambda_2P, u_TB2P, reset_TB, x_B2P, reverse):
    a = _clear(reset_TB, jnp.broadcast_to(lambda_2P, u_TB2P.shape))
    first = -1 if reverse else 0
    entering = _clear(reset_TB[first], multiply(lambda_2P, x_B2P))
    u = u_TB2P.at[first].add(entering)
    cut = jnp.broadcast_to(reset_TB[..., None], u.shape)

    def operator(e_i, e_j):
        a_i, b_i, d_i = e_i
        a_j, b_j, d_j = e_j
        # Where step j resets, a_j is zero; the choice only matters for what is not finite.
        return multiply(a_j, a_i), jnp.where(d_j, 0.0, multiply(a_j, b_i)) + b_j, d_i | d_j

    return jax.lax.associative_scan(operator, (a, u, cut), reverse=reverse)[1]
