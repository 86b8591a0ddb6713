"""The contract of sequence models, held by every model in every way it can compute."""

from functools import cache

import flax.linen as nn
import jax
import numpy as np
import pytest

from icrl.contracts import TOLERANCE, promise_of
from icrl.contracts.models import HALF, MODEL_CONTRACT, ModelCase, T, gradients, mixed, noise
from icrl.models.deltanet import DeltaNetSpec
from icrl.models.hybrid import HybridSpec
from icrl.models.mlp import MLPSpec
from icrl.models.recurrent import GRUSpec, LSTMSpec
from icrl.models.s5 import S5Spec
from icrl.models.transformer import TransformerSpec
from tests.quick import jit

H = 8

SHORT_DELTA = dict(width=H, state_size=8, delta_min=0.05, delta_max=0.5)
SPECS = {
    "s5_sequential": S5Spec(**SHORT_DELTA, schedule="sequential"),
    "s5_parallel": S5Spec(
        **SHORT_DELTA,
        num_layers=1,
        schedule="parallel",
        discretization="bilinear",
        num_blocks=2,
        gate="half_glu2",
    ),
    "s5_postnorm": S5Spec(**SHORT_DELTA, schedule="sequential", num_blocks=2, prenorm=False, gate="full_glu"),
    "s5_ring": S5Spec(**SHORT_DELTA, num_layers=1, discretization="dirac", rotation="ring"),
    "s5_selective": S5Spec(**SHORT_DELTA, schedule="sequential", selective=True),
    "s5_selective_parallel": S5Spec(
        **SHORT_DELTA, num_layers=1, schedule="parallel", discretization="bilinear", rotation="ring", selective=True
    ),
    "s5_without_norm": S5Spec(
        **SHORT_DELTA, num_layers=1, schedule="parallel", norm="none", gate="gelu", clip_eigenvalues=False
    ),
    "gru": GRUSpec(width=H, num_layers=2),
    "lstm": LSTMSpec(width=H),
    "deltanet": DeltaNetSpec(width=H, num_layers=2, num_heads=2, head_size=4),
    "deltanet_normed": DeltaNetSpec(width=H, num_heads=3, head_size=2, norm="layer"),
    "transformer": TransformerSpec(width=H, num_heads=2, window=2 * T),
    "transformer_short_window": TransformerSpec(width=H, num_layers=1, num_heads=2, window=3),
    "mlp": MLPSpec(width=H),
    "hybrid": HybridSpec(
        parts=(S5Spec(**SHORT_DELTA, num_layers=1), DeltaNetSpec(width=H, num_heads=2, head_size=4), LSTMSpec(width=H))
    ),
}


@cache
def case_of(name: str) -> ModelCase:
    """The case of a model, made once; what starts at zero by intent, as the choice of time steps, does not here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.initializers, "zeros", nn.initializers.normal(0.5))
        return ModelCase.of(SPECS[name], jit)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("part", MODEL_CONTRACT, ids=lambda part: part.__name__)
def test_every_model_keeps_the_contract(name: str, part):
    assert promise_of(part)
    part(case_of(name))


def test_a_selective_case_does_choose():
    assert np.std(case_of("s5_selective").params["params"]["layer_0"]["state_space"]["choice"]["kernel"]) > 0.3


@pytest.mark.parametrize("name", SPECS)
def test_every_input_counts_and_so_does_memory_but_for_the_memoryless(name: str):
    d_state, d_x = gradients(case_of(name))
    assert np.all(np.any(d_x[HALF:, 0] != 0, axis=-1))
    assert any(np.any(leaf[2] != 0) for leaf in d_state) == (name != "mlp")


@pytest.mark.parametrize(
    "spec", [MLPSpec(width=H), TransformerSpec(width=H, num_heads=2, window=1)], ids=lambda spec: spec.kind
)
def test_a_model_without_memory_sees_one_step_only(spec: MLPSpec | TransformerSpec):
    model, x = spec.build(), noise(T, H, seed=0)
    empty = model.initial_state(3)
    params = jit(model.init)(jax.random.key(0), empty, x, mixed())
    order = np.array([5, 2, 0, 1, 3, 4])
    apply = jit(model.apply)
    _, y = apply(params, empty, x, mixed())
    _, shuffled = apply(params, empty, x[order], mixed())
    np.testing.assert_allclose(shuffled, y[order], rtol=TOLERANCE, atol=TOLERANCE)
