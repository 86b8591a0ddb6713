"""A causal transformer with a bounded memory, so that acting costs O(window) per step.

Each query sees the ``window`` latest steps, itself included, of its own episode. Memory is a ring of the last steps'
keys and values, of which a step writes one slot; it makes one call on T steps equal to T calls on one. Positions are
rotary (arXiv 2104.09864) with angles that repeat after ``PERIOD`` windows, so that a key is turned once, when it is
written, and no counter grows. Pre-norm blocks as in arXiv 2002.04745.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from icrl.errors import Problem, show
from icrl.fields import PositiveInt
from icrl.models.sequence import ModelSpec, SequenceModel
from icrl.types import PyTree

PERIOD = 4
"""Windows after which places and angles repeat: within a window, the slowest angle makes a quarter of a turn."""

BLOCK = 128
"""Steps of a longer sequence that are read at once."""


@dataclass(frozen=True)
class TransformerSpec(ModelSpec):
    """A stack of attention and feed-forward blocks."""

    kind: Literal["transformer"] = "transformer"
    width: PositiveInt = 64
    """H, features per step."""
    num_layers: PositiveInt = 2
    num_heads: PositiveInt = 4
    window: PositiveInt = 256
    """Steps a query can see, itself included."""
    mlp_ratio: PositiveInt = 2
    """Hidden units of the feed-forward part, as a multiple of ``width``."""

    def problems(self) -> list[Problem]:
        """Bounds, and heads that cannot share the width."""
        found = super().problems()
        if not found and self.width % (2 * self.num_heads):
            found.append(Problem("width", show(self.width), f"a multiple of 2 * num_heads = {2 * self.num_heads}"))
        return found

    def build(self, name: str | None = None) -> "Transformer":
        """The model this describes."""
        return Transformer(self, name=name)


class KeyValueRing(NamedTuple):
    """The last ``W`` steps of a layer: the step at place p lies in slot p mod W. ``N`` heads of ``D`` features."""

    key: Float[Array, "B N W D"]
    """Turned by its place."""
    value: Float[Array, "B N W D"]
    valid: Bool[Array, "B W"]
    """Of the current episode."""
    place: Int[Array, " B"]
    """Of the next step, below ``PERIOD * W``."""


class Transformer(SequenceModel):
    """Residual stack of attention blocks. Its state is a `KeyValueRing` per layer."""

    spec: TransformerSpec

    def initial_state(self, batch: int) -> PyTree:
        """Empty rings."""
        slots = jnp.zeros((batch, self.spec.num_heads, self.spec.window, self.spec.width // self.spec.num_heads))
        empty = KeyValueRing(slots, slots, jnp.zeros((batch, self.spec.window), bool), jnp.zeros(batch, jnp.int32))
        return (empty,) * self.spec.num_layers

    @nn.compact
    def __call__(
        self, state: PyTree, x: Float[Array, "T B H"], reset: Bool[Array, "T B"]
    ) -> tuple[PyTree, Float[Array, "T B H"]]:
        """See `SequenceModel`."""
        new_state = []
        for index, ring in enumerate(state):
            attended = nn.LayerNorm(name=f"attention_norm_{index}")(x)
            ring, attended = WindowedAttention(self.spec, name=f"attention_{index}")(ring, attended, reset)
            x = x + attended
            hidden = nn.LayerNorm(name=f"mlp_norm_{index}")(x)
            hidden = nn.gelu(nn.Dense(self.spec.mlp_ratio * self.spec.width, name=f"mlp_in_{index}")(hidden))
            x = x + nn.Dense(self.spec.width, name=f"mlp_out_{index}")(hidden)
            new_state.append(ring)
        return tuple(new_state), nn.LayerNorm(name="norm")(x)


class WindowedAttention(nn.Module):
    """Multi-head attention over a sliding window that does not cross episode starts.

    A long sequence is read in blocks, each with the ring that the one before left, and a block's scores are computed
    again for the gradient: memory grows with T and W, not with their product.
    """

    spec: TransformerSpec

    @nn.compact
    def __call__(
        self, ring: KeyValueRing, x_TBH: Float[Array, "T B H"], reset_TB: Bool[Array, "T B"]
    ) -> tuple[KeyValueRing, Float[Array, "T B H"]]:
        """Consumes a sequence; gives the new ring and the outputs."""
        num_steps, batch, width = x_TBH.shape
        qkv_TB3H = nn.Dense(3 * width, use_bias=False, name="qkv")(x_TBH)
        if num_steps <= BLOCK:
            ring, y_TBH = self._attend(ring, (qkv_TB3H, reset_TB))
        else:
            first = num_steps % BLOCK or BLOCK
            ring, y_first = self._attend(ring, (qkv_TB3H[:first], reset_TB[:first]))
            rest = jax.tree.map(lambda x: x[first:].reshape(-1, BLOCK, *x.shape[1:]), (qkv_TB3H, reset_TB))
            ring, y_rest = jax.lax.scan(jax.checkpoint(self._attend), ring, rest)
            y_TBH = jnp.concatenate([y_first, y_rest.reshape(-1, batch, width)])
        return ring, nn.Dense(width, use_bias=False, name="out")(y_TBH)

    @nn.nowrap
    def _attend(self, ring: KeyValueRing, inputs):
        """Consumes a block; gives the new ring and ``[T, B, H]``, the heads' averages side by side."""
        qkv_TB3H, reset_TB = inputs
        num_steps, batch, _ = qkv_TB3H.shape
        window = self.spec.window
        qkv = qkv_TB3H.reshape(num_steps, batch, 3, self.spec.num_heads, -1)
        query, key, value = qkv.transpose(2, 1, 3, 0, 4)  # [B, N, T, D] each
        place_BT = ring.place[:, None] + jnp.arange(num_steps)
        query, key = self._turn(query, place_BT), self._turn(key, place_BT)

        # Episodes are numbered from 0, the one under way. Axes: T steps of this call, W slots of the ring.
        episode_BT = jnp.cumsum(reset_TB.T, axis=1)
        kept = slice(max(0, num_steps - window), None)
        row, slot = jnp.arange(batch)[:, None], place_BT[:, kept] % window
        after = KeyValueRing(
            ring.key.at[row, :, slot].set(key[:, :, kept].swapaxes(1, 2)),
            ring.value.at[row, :, slot].set(value[:, :, kept].swapaxes(1, 2)),
            (ring.valid & (episode_BT[:, -1:] == 0)).at[row, slot].set(episode_BT[:, kept] == episode_BT[:, -1:]),
            (ring.place + num_steps) % (PERIOD * window),
        )
        if num_steps == 1:  # sees what the ring holds now, and a ring that is not read before is written in place
            y = _average(query, after.key, after.value, after.valid[:, None, :])
        else:
            distance_TT = jnp.arange(num_steps)[:, None] - jnp.arange(num_steps)
            near_TT = (distance_TT >= 0) & (distance_TT < window)
            age_BW = (ring.place[:, None] - 1 - jnp.arange(window)) % window + 1  # at the first step of this call
            age_BTW = age_BW[:, None, :] + jnp.arange(num_steps)[:, None]
            seen_past_BTW = ring.valid[:, None, :] & (age_BTW < window) & (episode_BT == 0)[:, :, None]
            seen_now_BTT = near_TT & (episode_BT[:, :, None] == episode_BT[:, None, :])
            y = _average(
                query,
                jnp.concatenate([ring.key, key], axis=2),
                jnp.concatenate([ring.value, value], axis=2),
                jnp.concatenate([seen_past_BTW, seen_now_BTT], axis=2),
            )
        return after, y.reshape(num_steps, batch, -1)

    def _turn(self, x_BNTD, place_BT):
        """Rotary embedding: scores depend on distances alone. From a radian a step to a turn a period."""
        first, second = jnp.split(x_BNTD, 2, axis=-1)
        period = PERIOD * self.spec.window
        turns = np.maximum(1, np.rint(np.geomspace(period / (2 * np.pi), 1, first.shape[-1]))).astype(int)
        angle = (place_BT[..., None] * turns % period)[:, None] * (2 * np.pi / period)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


def _average(query_BNTD, key_BNKD, value_BNKD, seen_BTK):
    """What each query finds among the steps it sees, ``[T, B, N, D]``."""
    scores = jnp.einsum("bntd,bnkd->bntk", query_BNTD, key_BNKD) / jnp.sqrt(query_BNTD.shape[-1])
    weights = jax.nn.softmax(jnp.where(seen_BTK[:, None], scores, -jnp.inf), axis=-1)
    # A zero weight does not cancel a NaN. Whoever may see a spoilt step learns of it from its key.
    finite = jnp.where(jnp.isfinite(value_BNKD), value_BNKD, 0.0)
    return jnp.einsum("bntk,bnkd->tbnd", weights, finite)
