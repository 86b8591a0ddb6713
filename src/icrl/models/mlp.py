"""The memoryless baseline: what can be achieved without any context."""

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from icrl.fields import PositiveInt
from icrl.models.sequence import ModelSpec, SequenceModel
from icrl.types import PyTree


@dataclass(frozen=True)
class MLPSpec(ModelSpec):
    """A stack of dense layers, applied to every step by itself."""

    kind: Literal["mlp"] = "mlp"
    width: PositiveInt = 128
    num_layers: PositiveInt = 2

    def build(self, name: str | None = None) -> "MLP":
        """The model this describes."""
        return MLP(self, name=name)


class MLP(SequenceModel):
    """Dense layers with GELU. Its state is empty."""

    spec: MLPSpec

    def initial_state(self, batch: int) -> PyTree:
        """Nothing to remember."""
        del batch
        return ()

    @nn.compact
    def __call__(
        self, state: PyTree, x: Float[Array, "T B H"], reset: Bool[Array, "T B"]
    ) -> tuple[PyTree, Float[Array, "T B H"]]:
        """See `SequenceModel`."""
        del reset
        for index in range(self.spec.num_layers):
            x = nn.gelu(nn.Dense(self.spec.width, name=f"layer_{index}")(x))
        return state, x
