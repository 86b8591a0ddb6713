"""A causal transformer with a bounded memory, so that acting costs O(window) per step.

Each query sees the ``window`` latest steps, itself included, of its own episode. Memory is the last ``window - 1``
inputs' keys and values, which makes one call on T steps equal to T calls on one. Positions are relative (rotary,
arXiv 2104.09864), so no counter grows with the episode. Pre-norm blocks as in arXiv 2002.04745.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from icrl.errors import SpecError
from icrl.models.sequence import SequenceModel
from icrl.types import PyTree


@dataclass(frozen=True)
class TransformerSpec:
    """A stack of attention and feed-forward blocks."""

    kind: Literal["transformer"] = "transformer"
    width: int = 64
    """H, features per step."""
    num_layers: int = 2
    num_heads: int = 4
    window: int = 256
    """Steps a query can see, itself included."""
    mlp_ratio: int = 2
    """Hidden units of the feed-forward part, as a multiple of ``width``."""

    def __post_init__(self) -> None:
        for name in ("width", "num_layers", "num_heads", "window", "mlp_ratio"):
            if getattr(self, name) < 1:
                raise SpecError.of(name, got=getattr(self, name), expected="at least 1")
        if self.width % (2 * self.num_heads):
            raise SpecError.of("width", got=self.width, expected=f"a multiple of 2 * num_heads = {2 * self.num_heads}")

    def build(self, name: str | None = None) -> "Transformer":
        """The model this describes."""
        return Transformer(self, name=name)


class KeyValueWindow(NamedTuple):
    """The last ``W - 1`` steps of a layer."""

    key: jax.Array  # [B, W-1, H]
    value: jax.Array  # [B, W-1, H]
    valid: jax.Array  # [B, W-1] bool: of the current episode


class Transformer(SequenceModel):
    """Residual stack of attention blocks. Its state is a `KeyValueWindow` per layer."""

    spec: TransformerSpec

    def initial_state(self, batch: int) -> PyTree:
        """Empty windows."""
        past, width = self.spec.window - 1, self.spec.width
        empty = KeyValueWindow(
            jnp.zeros((batch, past, width)), jnp.zeros((batch, past, width)), jnp.zeros((batch, past), bool)
        )
        return (empty,) * self.spec.num_layers

    @nn.compact
    def __call__(self, state: PyTree, x: jax.Array, reset: jax.Array) -> tuple[PyTree, jax.Array]:
        """See `SequenceModel`."""
        new_state = []
        for index, window in enumerate(state):
            attended = nn.LayerNorm(name=f"attention_norm_{index}")(x)
            window, attended = WindowedAttention(self.spec, name=f"attention_{index}")(window, attended, reset)
            x = x + attended
            hidden = nn.LayerNorm(name=f"mlp_norm_{index}")(x)
            hidden = nn.gelu(nn.Dense(self.spec.mlp_ratio * self.spec.width, name=f"mlp_in_{index}")(hidden))
            x = x + nn.Dense(self.spec.width, name=f"mlp_out_{index}")(hidden)
            new_state.append(window)
        return tuple(new_state), nn.LayerNorm(name="norm")(x)


class WindowedAttention(nn.Module):
    """Multi-head attention over a sliding window that does not cross episode starts."""

    spec: TransformerSpec

    @nn.compact
    def __call__(self, window: KeyValueWindow, x_TBH, reset_TB):
        """Consumes a sequence; gives the new window and the outputs."""
        num_steps, batch, width = x_TBH.shape
        past = self.spec.window - 1
        x_BTH, reset_BT = jnp.swapaxes(x_TBH, 0, 1), reset_TB.T
        query, key, value = jnp.split(nn.Dense(3 * width, use_bias=False, name="qkv")(x_BTH), 3, axis=-1)
        key = jnp.concatenate([window.key, key], axis=1)
        value = jnp.concatenate([window.value, value], axis=1)

        # Number episodes from 0, the one under way; what is remembered of earlier ones gets -1.
        episode_BT = jnp.cumsum(reset_BT, axis=1)
        key_episode_BK = jnp.concatenate([jnp.where(window.valid, 0, -1), episode_BT], axis=1)

        query_place = past + jnp.arange(num_steps)
        key_place = jnp.arange(past + num_steps)
        age_TK = query_place[:, None] - key_place
        near_TK = (age_TK >= 0) & (age_TK <= past)
        visible_BTK = near_TK & (episode_BT[:, :, None] == key_episode_BK[:, None, :])

        scores = jnp.einsum(
            "btnd,bknd->bntk", self._rotate(query, query_place), self._rotate(key, key_place)
        ) / jnp.sqrt(width / self.spec.num_heads)
        weights = jax.nn.softmax(jnp.where(visible_BTK[:, None], scores, -jnp.inf), axis=-1)
        # A zero weight does not cancel a NaN. Whoever may see a spoilt step learns of it from its key.
        finite = jnp.where(jnp.isfinite(value), value, 0.0)
        y = jnp.einsum("bntk,bknd->btnd", weights, self._heads(finite))
        y = nn.Dense(width, use_bias=False, name="out")(y.reshape(batch, num_steps, width))

        kept = slice(num_steps, None)
        valid = key_episode_BK[:, kept] == episode_BT[:, -1:]
        return KeyValueWindow(key[:, kept], value[:, kept], valid), jnp.swapaxes(y, 0, 1)

    def _heads(self, x_BTH):
        return x_BTH.reshape(*x_BTH.shape[:-1], self.spec.num_heads, -1)

    def _rotate(self, x_BTH, place_T):
        """Rotary embedding: only differences of places matter to the scores."""
        first, second = jnp.split(self._heads(x_BTH), 2, axis=-1)
        frequency = 10_000.0 ** (-jnp.arange(first.shape[-1]) / first.shape[-1])
        angle = (place_T[:, None] * frequency)[:, None, :]
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)
