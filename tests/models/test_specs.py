"""Specs of the other models: sizes that cannot be are refused, and what `build` makes fits its spec."""

from dataclasses import dataclass

import pytest

from icrl.errors import SpecError
from icrl.models import MODELS, ModelSpec
from icrl.models.deltanet import DeltaNetSpec
from icrl.models.hybrid import HybridSpec
from icrl.models.mlp import MLPSpec
from icrl.models.recurrent import GRUSpec, LSTMSpec
from icrl.models.transformer import TransformerSpec


@pytest.mark.parametrize(
    ("spec", "fields", "message"),
    [
        (GRUSpec, dict(width=0), "width: got 0; expected at least 1"),
        (LSTMSpec, dict(num_layers=0), "num_layers: got 0; expected at least 1"),
        (DeltaNetSpec, dict(head_size=0), "head_size: got 0; expected at least 1"),
        (HybridSpec, dict(parts=()), "parts: got []; expected at least one"),
        (
            HybridSpec,
            dict(parts=(GRUSpec(width=8), MLPSpec(width=8), LSTMSpec(width=9))),
            "parts[2].width: got 9; expected 8, as parts[0] has",
        ),
        (MLPSpec, dict(num_layers=0), "num_layers: got 0; expected at least 1"),
        (TransformerSpec, dict(window=0), "window: got 0; expected at least 1"),
        (
            TransformerSpec,
            dict(width=12, num_heads=4),
            "width: got 12; expected a multiple of 2 * num_heads = 8",
        ),
    ],
)
def test_impossible_sizes_are_refused(spec, fields, message):
    with pytest.raises(SpecError) as error:
        spec(**fields)
    assert str(error.value) == message


def test_a_width_that_is_no_field_cannot_be_changed():
    class Fixed(ModelSpec):
        width = 8

        def build(self, name=None):
            raise NotImplementedError

    fixed = dataclass(frozen=True)(Fixed)()
    with pytest.raises(SpecError, match=r"^width: got 4; expected 8: it is no field of Fixed$"):
        fixed.of_width(4)


def test_every_model_has_a_kind_of_its_own_and_works_by_default():
    specs = [spec() for spec in MODELS.builtin.values()]
    kinds = ["s5", "gru", "lstm", "deltanet", "transformer", "mlp", "hybrid"]
    assert [spec.kind for spec in specs] == list(MODELS.builtin) == kinds
    for spec in specs:
        assert spec.build().spec == spec
