"""Layers of different models on top of each other, as in Griffin (arXiv 2402.19427) or Samba (arXiv 2406.07522)."""

from dataclasses import dataclass, replace
from typing import Literal

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from icrl.errors import Problem, show
from icrl.models.deltanet import DeltaNetSpec
from icrl.models.mlp import MLPSpec
from icrl.models.recurrent import GRUSpec, LSTMSpec
from icrl.models.s5 import S5Spec
from icrl.models.sequence import ModelSpec, SequenceModel, in_turn
from icrl.models.transformer import TransformerSpec
from icrl.types import PyTree

Part = S5Spec | GRUSpec | LSTMSpec | DeltaNetSpec | TransformerSpec | MLPSpec


@dataclass(frozen=True)
class HybridSpec(ModelSpec):
    """Models of icrl's own one after the other, each given what the one before gives."""

    kind: Literal["hybrid"] = "hybrid"
    parts: tuple[Part, ...] = (S5Spec(num_layers=1), DeltaNetSpec(num_layers=1))
    """From the input on, all of one width; a scale or an override gives the whole list anew."""

    @property
    def width(self) -> int:  # type: ignore[override]
        """H, features per step."""
        return self.parts[0].width

    def of_width(self, width: int) -> "HybridSpec":
        """All parts at another width."""
        return replace(self, parts=tuple(part.of_width(width) for part in self.parts))

    def problems(self) -> list[Problem]:
        """No parts, or parts of different widths."""
        found = super().problems()
        if not self.parts:
            found.append(Problem("parts", show([]), "at least one"))
        for index, part in enumerate(self.parts):
            if part.width != self.width:
                found.append(Problem(f"parts[{index}].width", show(part.width), f"{self.width}, as parts[0] has"))
        return found

    def build(self, name: str | None = None) -> "Hybrid":
        """The model this describes."""
        return Hybrid(self, name=name)


class Hybrid(SequenceModel):
    """Its state is a tuple of its parts' states."""

    spec: HybridSpec

    @nn.nowrap
    def initial_state(self, batch: int) -> PyTree:
        """That of every part."""
        return tuple(part.build().initial_state(batch) for part in self.spec.parts)

    @nn.compact
    def __call__(
        self, state: PyTree, x: Float[Array, "T B H"], reset: Bool[Array, "T B"]
    ) -> tuple[PyTree, Float[Array, "T B H"]]:
        """See `SequenceModel`."""
        parts = [part.build(f"part_{index}") for index, part in enumerate(self.spec.parts)]
        return in_turn(parts, state, x, reset)
