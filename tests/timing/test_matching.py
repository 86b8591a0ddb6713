"""Models brought to one size have it."""

import jax
import jax.numpy as jnp
import pytest

from icrl.models import GRUSpec, HybridSpec, LSTMSpec, MLPSpec, S5Spec, TransformerSpec
from icrl.timing.matching import matched, num_parameters

MODELS = {
    "transformer": TransformerSpec(width=8, num_heads=2),
    "s5": S5Spec(width=64),
    "lstm": LSTMSpec(width=8),
    "mlp": MLPSpec(width=512),
    "hybrid": HybridSpec(parts=(GRUSpec(width=8), TransformerSpec(width=8, num_layers=1, num_heads=2))),
}


def test_parameters_are_counted_as_they_are():
    spec = GRUSpec(width=4)
    model = spec.build()
    params = model.init(
        jax.random.PRNGKey(0), model.initial_state(1), jnp.zeros((1, 1, spec.width)), jnp.zeros((1, 1), bool)
    )
    assert num_parameters(spec) == sum(leaf.size for leaf in jax.tree.leaves(params))


def test_models_are_matched_by_parameters_to_s5_within_a_tenth():
    found = matched(MODELS, "parameters")
    assert list(found) == list(MODELS)
    assert found["s5"] == MODELS["s5"]
    for spec in found.values():
        assert num_parameters(spec) == pytest.approx(num_parameters(MODELS["s5"]), rel=0.1)


def test_models_are_matched_by_width_as_far_as_heads_allow():
    found = matched(MODELS | {"s5": S5Spec(width=23)}, "width")
    widths = {"transformer": 24, "s5": 23, "lstm": 23, "mlp": 23, "hybrid": 24}
    assert {name: spec.width for name, spec in found.items()} == widths


def test_unmatched_models_stay_as_they_are():
    assert matched(MODELS, "none") == MODELS
