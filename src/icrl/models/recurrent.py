"""GRU and LSTM, with resets inside the sequence.

Input products are taken for the whole sequence at once; only the recurrent product is left to the scan.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from icrl.fields import PositiveInt
from icrl.models.sequence import ModelSpec, SequenceModel, in_turn
from icrl.types import PyTree, select_rows

Memory = tuple[Float[Array, "B H"], ...]


@dataclass(frozen=True)
class RecurrentSpec(ModelSpec):
    """Fields shared by `GRUSpec` and `LSTMSpec`."""

    width: PositiveInt = 64
    """H, features per step and size of the hidden state."""
    num_layers: PositiveInt = 1


@dataclass(frozen=True)
class GRUSpec(RecurrentSpec):
    """Gated recurrent units (arXiv 1406.1078)."""

    kind: Literal["gru"] = "gru"

    def build(self, name: str | None = None) -> SequenceModel:
        """The model this describes."""
        return Recurrent(self, GRULayer, num_memories=1, name=name)


@dataclass(frozen=True)
class LSTMSpec(RecurrentSpec):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates)."""

    kind: Literal["lstm"] = "lstm"
    forget_bias: float = 1.0
    """Of the forget gate at the start: with ``log T`` memory lasts about T steps (arXiv 1804.11188)."""
    input_bias: float = 0.0
    """Of the input gate at the start: ``-log T`` lets in about one part in T of every step."""

    def build(self, name: str | None = None) -> SequenceModel:
        """The model this describes."""
        layer = partial(LSTMLayer, forget_bias=self.forget_bias, input_bias=self.input_bias)
        return Recurrent(self, layer, num_memories=2, name=name)


class Recurrent(SequenceModel):
    """A stack of recurrent layers. Its state is a tuple of ``[B, H]`` arrays per layer."""

    spec: RecurrentSpec
    layer: Callable[..., Any]
    num_memories: int

    def initial_state(self, batch: int) -> PyTree:
        """Zeros."""
        one_layer = tuple(jnp.zeros((batch, self.spec.width)) for _ in range(self.num_memories))
        return (one_layer,) * self.spec.num_layers

    @nn.compact
    def __call__(
        self, state: PyTree, x: Float[Array, "T B H"], reset: Bool[Array, "T B"]
    ) -> tuple[PyTree, Float[Array, "T B H"]]:
        """See `SequenceModel`."""
        layers = [self.layer(self.spec.width, name=f"layer_{index}") for index in range(self.spec.num_layers)]
        return in_turn(layers, state, x, reset)


class RecurrentLayer(nn.Module):
    """A layer with several gates: ``memory' = cell(input part, recurrent part, memory)``, output ``memory[0]``."""

    width: int

    @abc.abstractmethod
    def gates(self) -> int:
        """Number of gates."""

    @abc.abstractmethod
    def cell(self, inputs_BG: Float[Array, "B G"], recurrent_BG: Float[Array, "B G"], memory: Memory) -> Memory:
        """The next memory, from both halves of the gates' pre-activations."""

    @nn.compact
    def __call__(
        self, memory: Memory, x_TBH: Float[Array, "T B D"], reset_TB: Bool[Array, "T B"]
    ) -> tuple[Memory, Float[Array, "T B H"]]:
        """Consumes a sequence; gives the new memory and the outputs."""
        size = self.gates() * self.width
        inputs_TBG = nn.Dense(size, name="input")(x_TBH)
        recurrent_HG = self.param("recurrent", nn.initializers.orthogonal(), (self.width, size))
        bias_G = self.param("recurrent_bias", nn.initializers.zeros, (size,))

        def step(memory, step_inputs):
            inputs_BG, reset_B = step_inputs
            memory = select_rows(reset_B, jax.tree.map(jnp.zeros_like, memory), memory)
            memory = self.cell(inputs_BG, memory[0] @ recurrent_HG + bias_G, memory)
            return memory, memory[0]

        return jax.lax.scan(step, memory, (inputs_TBG, reset_TB))


class GRULayer(RecurrentLayer):
    """``h' = (1 - z) n + z h`` with ``n = tanh(W x + r (U h + b))``."""

    def gates(self) -> int:
        """Reset, update, candidate."""
        return 3

    def cell(self, inputs_BG: Float[Array, "B G"], recurrent_BG: Float[Array, "B G"], memory: Memory) -> Memory:
        """One step."""
        reset_x, update_x, candidate_x = jnp.split(inputs_BG, 3, axis=-1)
        reset_h, update_h, candidate_h = jnp.split(recurrent_BG, 3, axis=-1)
        update = nn.sigmoid(update_x + update_h)
        candidate = jnp.tanh(candidate_x + nn.sigmoid(reset_x + reset_h) * candidate_h)
        return ((1 - update) * candidate + update * memory[0],)


class LSTMLayer(RecurrentLayer):
    """``c' = f c + i g``, ``h' = o tanh(c')``; f starts at ``forget_bias`` (Jozefowicz et al. 2015)."""

    forget_bias: float = 1.0
    input_bias: float = 0.0

    def gates(self) -> int:
        """Input, forget, cell, output."""
        return 4

    def cell(self, inputs_BG: Float[Array, "B G"], recurrent_BG: Float[Array, "B G"], memory: Memory) -> Memory:
        """One step."""
        i, f, g, o = jnp.split(inputs_BG + recurrent_BG, 4, axis=-1)
        c = nn.sigmoid(f + self.forget_bias) * memory[1] + nn.sigmoid(i + self.input_bias) * jnp.tanh(g)
        return nn.sigmoid(o) * jnp.tanh(c), c
