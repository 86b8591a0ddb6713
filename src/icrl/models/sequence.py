"""The interface every sequence model implements.

``memory, y_TBH = model(memory, x_TBH, reset_TB)``: time-major, the same call for acting (T = 1) and learning
(T = rollout). Where ``reset_TB[t]`` is true, memory is cleared *before* step t. Feeding T steps at once, one by one,
or in two halves gives the same outputs; nothing, value or gradient, crosses a reset; rows never mix.
"""

import abc
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from icrl.errors import SpecError
from icrl.fields import Spec
from icrl.types import PyTree


class SequenceModel(nn.Module):
    """A map from sequences ``[T, B, H]`` to sequences of the same shape, carrying an opaque memory."""

    @abc.abstractmethod
    def initial_state(self, batch: int) -> PyTree:
        """The cleared memory of ``batch`` rows: leaves ``[B, ...]`` whose shapes and dtypes never change."""

    @abc.abstractmethod
    def __call__(
        self, state: PyTree, x: Float[Array, "T B H"], reset: Bool[Array, "T B"]
    ) -> tuple[PyTree, Float[Array, "T B H"]]:
        """Consumes ``x`` and ``reset`` from ``state``; gives the new state and ``y``."""


def in_turn(
    layers: Iterable[Callable[..., Any]], state: PyTree, x: Float[Array, "T B H"], reset: Bool[Array, "T B"]
) -> tuple[PyTree, Float[Array, "T B H"]]:
    """Layers or models one after the other, each with its own part of the state; the new state and the last's y."""
    new_state = []
    for layer, layer_state in zip(layers, state, strict=True):
        layer_state, x = layer(layer_state, x, reset)
        new_state.append(layer_state)
    return tuple(new_state), x


class ModelSpec(Spec, abc.ABC):
    """What describes a sequence model: a frozen dataclass, whose fields are what a YAML spec may set of it.

    Attributes:
        width: H, features per step, of what the model is given and of what it gives.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    width: int

    @abc.abstractmethod
    def build(self, name: str | None = None) -> SequenceModel:
        """The model this describes; ``name`` is that of its parameters in the agent's."""

    def of_width(self, width: int) -> "ModelSpec":
        """The same at another width.

        Raises:
            SpecError: it cannot have that one.
        """
        if "width" not in self.__dataclass_fields__:
            raise SpecError.of("width", got=width, expected=f"{self.width}: it is no field of {type(self).__name__}")
        return replace(self, width=width)
