"""Gated DeltaNet (arXiv 2412.06464): memory is a matrix that each step corrects by the delta rule.

For every row and head, with ``d_t`` the reset flag (1 clears the state *before* step t), keys and queries of length 1,
decays ``a_t`` in (0, 1) and rates ``b_t`` in (0, 1), all of them functions of the input:

    S_t = M_t + b_t k_t (v_t - M_t^T k_t)^T,    M_t = a_t (1 - d_t) S_{t-1},    o_t = S_t^T q_t,    t = 0 .. T-1

A step is one of gradient descent, of size b_t from M_t, on ``|S^T k_t - v_t|^2 / 2``: memory learns, within the
context, which value goes with which key. It is linear in its state, as S5's is, but the transition
``a_t (I - b_t k_t k_t^T)`` depends on the input and is not diagonal.

`delta_rule` computes this in chunks of time (arXiv 2406.06484, section 3). Within a chunk that S enters, what steps
write, ``e_t = b_t (v_t - M_t^T k_t)``, solves the triangular system

    e_t + b_t sum_{i<t} D_ti (k_t . k_i) e_i = b_t (v_t - D_t S^T k_t)

where ``D_ti`` is what is left at step t of something written at step i, and ``D_t`` of S: products of decays, zero
across a reset. All but the passage of S from chunk to chunk is matrix products of all chunks at once.
"""

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from icrl.fields import PositiveInt
from icrl.models.sequence import ModelSpec, SequenceModel, in_turn
from icrl.types import PyTree

CHUNK_STEPS = 16
"""C, steps of a chunk at most."""

LEAST_LOG_DECAY = -30.0
"""In float32 ``exp(-30)`` is nothing beside 1, and the digits of sums with much lower ones would be lost."""

SHORTEST, LONGEST = 4.0, 128.0
"""Time constants of the heads at the start, in steps, with even ratios between them."""


@dataclass(frozen=True)
class DeltaNetSpec(ModelSpec):
    """A residual stack of Gated DeltaNet layers: decays are a sigmoid of the input, and the original's short
    convolutions, norms of what is read and feed-forward blocks are left out."""

    kind: Literal["deltanet"] = "deltanet"
    width: PositiveInt = 64
    """H, features per step."""
    num_layers: PositiveInt = 1
    num_heads: PositiveInt = 4
    head_size: PositiveInt = 16
    """Of a key and of a value: a head's memory is a matrix of this size squared."""
    norm: Literal["layer", "none"] = "none"
    """Of a layer's input."""

    def build(self, name: str | None = None) -> "DeltaNet":
        """The model this describes."""
        return DeltaNet(self, name=name)


class DeltaNet(SequenceModel):
    """Residual stack of `DeltaNetLayer`. Its state is ``[B, N, D, D]`` per layer: N heads of D by D numbers."""

    spec: DeltaNetSpec

    def initial_state(self, batch: int) -> PyTree:
        """Zeros."""
        size = self.spec.head_size
        return (jnp.zeros((batch, self.spec.num_heads, size, size)),) * self.spec.num_layers

    @nn.compact
    def __call__(
        self, state: PyTree, x: Float[Array, "T B H"], reset: Bool[Array, "T B"]
    ) -> tuple[PyTree, Float[Array, "T B H"]]:
        """See `SequenceModel`."""
        layers = [DeltaNetLayer(self.spec, name=f"layer_{index}") for index in range(self.spec.num_layers)]
        return in_turn(layers, state, x, reset)


class DeltaNetLayer(nn.Module):
    """``x + W_o (o silu(W_g x))``, with o the heads' outputs side by side."""

    spec: DeltaNetSpec

    @nn.compact
    def __call__(
        self, state_BNKV: Float[Array, "B N K K"], x_TBH: Float[Array, "T B H"], reset_TB: Bool[Array, "T B"]
    ) -> tuple[Float[Array, "B N K K"], Float[Array, "T B H"]]:
        """One layer of `DeltaNet`; V = K."""
        heads, size = self.spec.num_heads, self.spec.head_size
        inputs = nn.LayerNorm(name="norm")(x_TBH) if self.spec.norm == "layer" else x_TBH

        def by_head(name):
            return nn.silu(nn.Dense(heads * size, name=name)(inputs)).reshape(*x_TBH.shape[:2], heads, size)

        steps = jnp.geomspace(SHORTEST, LONGEST, heads)
        decay = nn.Dense(heads, bias_init=lambda *_: jnp.log(steps - 1), name="decay")(inputs)
        rate = nn.Dense(heads, name="rate")(inputs)
        state_BNKV, o_TBNV = delta_rule(
            unit(by_head("query")),
            unit(by_head("key")),
            by_head("value"),
            nn.log_sigmoid(decay),
            nn.sigmoid(rate),
            reset_TB,
            state_BNKV,
        )
        read = o_TBNV.reshape(*x_TBH.shape[:2], heads * size)
        gate = nn.silu(nn.Dense(heads * size, name="gate")(inputs))
        return state_BNKV, x_TBH + nn.Dense(self.spec.width, name="out")(read * gate)


def unit(x: Float[Array, "*S D"]) -> Float[Array, "*S D"]:
    """Vectors brought to length 1; zero stays zero."""
    return x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True) + 1e-6)


def delta_rule(
    query_TBNK: Float[Array, "T B N K"],
    key_TBNK: Float[Array, "T B N K"],
    value_TBNV: Float[Array, "T B N V"],
    log_decay_TBN: Float[Array, "T B N"],
    rate_TBN: Float[Array, "T B N"],
    reset_TB: Bool[Array, "T B"],
    state_BNKV: Float[Array, "B N K V"],
) -> tuple[Float[Array, "B N K V"], Float[Array, "T B N V"]]:
    """The last state and the outputs ``o`` of the recurrence above, from the state before the first step.

    A row's outputs and last state are NaN from the first step on where something of its was not finite, until the next
    reset; nothing of that, in value or gradient, reaches beyond. What overflows on the way is not held back.
    """
    spoilt_TB, (query, key, value, log_decay, rate), state_BNKV = _spoilt(
        (query_TBNK, key_TBNK, value_TBNV, log_decay_TBN, rate_TBN), reset_TB, state_BNKV
    )
    with jax.default_matmul_precision("highest"):  # as S5's recurrence, which no product of matrices rounds
        state_BNKV, outputs_TBNV = _in_chunks(query, key, value, log_decay, rate, reset_TB, state_BNKV)
    return (
        jnp.where(spoilt_TB[-1, :, None, None, None], jnp.nan, state_BNKV),
        jnp.where(spoilt_TB[..., None, None], jnp.nan, outputs_TBNV),
    )


def _in_chunks(query_TBNK, key_TBNK, value_TBNV, log_decay_TBN, rate_TBN, reset_TB, state_BNKV):
    """`delta_rule` of what is finite."""
    num_steps = len(key_TBNK)
    length = min(num_steps, CHUNK_STEPS)

    def chunks(x_TBN):  # [G, B, N, C, ...]; the last is filled up with steps that neither write nor decay
        x = jnp.pad(x_TBN, [(0, -num_steps % length), *[(0, 0)] * (x_TBN.ndim - 1)])
        return jnp.moveaxis(x.reshape(-1, length, *x.shape[1:]), 1, 3)

    query, key, value = chunks(query_TBNK), chunks(key_TBNK), chunks(value_TBNV)
    rate = chunks(rate_TBN)[..., None]
    episode = jnp.cumsum(chunks(reset_TB[..., None]), -1)  # [G, B, 1, C]; 0 is the one that enters
    seen = (episode[..., :, None] == episode[..., None, :]) & jnp.tril(jnp.ones((length, length), bool))
    log_decay = jnp.maximum(chunks(log_decay_TBN), LEAST_LOG_DECAY)
    decayed = jnp.where(seen, log_decay[..., None, :], 0.0).sum(-1)  # since the episode's start, or S's
    left = jnp.exp(jnp.where(seen, decayed[..., :, None] - decayed[..., None, :], -jnp.inf))  # D_ti
    left_of_state = jnp.exp(jnp.where(episode == 0, decayed, -jnp.inf))[..., None]  # D_t

    right = rate * jnp.concatenate([value, left_of_state * key], axis=-1)
    solved = unit_lower_inverse(rate * left * (key @ key.mT)) @ right
    own, of_state = jnp.split(solved, [value.shape[-1]], axis=-1)  # e = own - of_state S

    def through(state, chunk):
        own, of_state, from_written, from_state, kept, last = chunk
        written = own - of_state @ state
        return last * state + kept @ written, from_state @ state + from_written @ written

    kept = (key * left[..., -1, :, None]).mT
    chunked = own, of_state, left * (query @ key.mT), left_of_state * query, kept, left_of_state[..., -1:, :]
    state_BNKV, outputs = jax.lax.scan(through, state_BNKV, chunked)
    return state_BNKV, jnp.moveaxis(outputs, 3, 1).reshape(-1, *value_TBNV.shape[1:])[:num_steps]


@jax.custom_jvp
def unit_lower_inverse(x: Float[Array, "*S C C"]) -> Float[Array, "*S C C"]:
    """The inverse of ``I + L``, L being what lies below the diagonal of ``x``.

    Blocks on the diagonal are inverted, of sizes 1, 2, 4 and so on, each from the inverses of its halves: as accurate
    as solving row by row, with products of matrices alone. (With `jax.scipy.linalg.solve_triangular` trainings hung on
    a CPU, inside their loops.)
    """
    row, column = jnp.indices(x.shape[-2:])
    inverse = jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), x.shape)
    size = 1
    while size < x.shape[-1]:
        below = (row // (2 * size) == column // (2 * size)) & (row // size > column // size)
        inverse -= inverse @ jnp.where(below, x, 0.0) @ inverse
        size *= 2
    return inverse


@unit_lower_inverse.defjvp
def _derivative(primals, tangents):
    (x,), (dx,) = primals, tangents
    inverse = unit_lower_inverse(x)
    return inverse, -inverse @ jnp.tril(dx, -1) @ inverse


def _spoilt(inputs, reset_TB, state_BNKV):
    """Which steps have seen what is not finite ``[T, B]``; and the inputs and the state with zeros in its place."""
    finite_B = jnp.isfinite(state_BNKV).all((1, 2, 3))
    finite_TB = jnp.stack([jnp.isfinite(x).reshape(*reset_TB.shape, -1).all(-1) for x in inputs]).all(0)
    seen_TB = jnp.cumsum(~finite_TB, 0) + ~finite_B  # so far; what lies before the last reset does not count
    forgiven_TB = jax.lax.cummax(jnp.where(reset_TB, seen_TB - ~finite_TB, 0))
    cleaned = (jnp.where(finite_TB.reshape(*finite_TB.shape, *[1] * (x.ndim - 2)), x, 0.0) for x in inputs)
    return seen_TB > forgiven_TB, tuple(cleaned), jnp.where(finite_B[:, None, None, None], state_BNKV, 0.0)
