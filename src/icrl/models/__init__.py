"""Sequence models. To add one: a file with its spec and module, and a line in `MODELS`."""

from dataclasses import fields, is_dataclass
from typing import Annotated, Any

from icrl.models.deltanet import DeltaNetSpec
from icrl.models.hybrid import HybridSpec
from icrl.models.mlp import MLPSpec
from icrl.models.recurrent import GRUSpec, LSTMSpec
from icrl.models.s5 import S5Spec
from icrl.models.sequence import ModelSpec, SequenceModel
from icrl.models.transformer import TransformerSpec
from icrl.plugins import Registry


def _lacks(found: Any) -> str:
    """What a model's spec from outside should be instead."""
    spec = "a frozen dataclass derived from icrl.models.ModelSpec"
    if isinstance(found, type) and issubclass(found, SequenceModel):
        return f"the model's spec, {spec}, whose build() gives the model"
    if not isinstance(found, type) or not issubclass(found, ModelSpec):
        return spec
    if not is_dataclass(found) or not found.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return f"{spec}: put @dataclass(frozen=True) above it"
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        return f"one that has {', '.join(missing)}()"
    if "kind" in {field.name for field in fields(found)}:
        return "one without a field `kind`, which is its name in a spec"
    if "width" not in {field.name for field in fields(found)} and not hasattr(found, "width"):
        return "one with `width`, a field or a property"
    return ""


MODELS = Registry(
    "icrl.models",
    {
        "s5": S5Spec,
        "gru": GRUSpec,
        "lstm": LSTMSpec,
        "deltanet": DeltaNetSpec,
        "transformer": TransformerSpec,
        "mlp": MLPSpec,
        "hybrid": HybridSpec,
    },
    _lacks,
)

NamedModel = Annotated[ModelSpec, MODELS]
"""A model in a spec, chosen by its `kind`."""

__all__ = [
    "MODELS",
    "DeltaNetSpec",
    "GRUSpec",
    "HybridSpec",
    "LSTMSpec",
    "MLPSpec",
    "ModelSpec",
    "NamedModel",
    "S5Spec",
    "SequenceModel",
    "TransformerSpec",
]
