"""Bringing models to one size, so that what is compared is the architecture."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from icrl.models import HybridSpec, ModelSpec, TransformerSpec
from icrl.timing.spec import Match

GRAIN = 4
"""Widths found by their number of parameters are multiples of this."""


def num_parameters(spec: ModelSpec) -> int:
    """Scalars in a sequence model's parameters; nothing is allocated."""
    model, x = spec.build(), jnp.zeros((1, 1, spec.width))
    shapes = jax.eval_shape(model.init, jax.random.PRNGKey(0), model.initial_state(1), x, jnp.zeros((1, 1), bool))
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


def matched(models: Mapping[str, ModelSpec], match: Match) -> dict[str, ModelSpec]:
    """The models at the reference's number of parameters or at its width; the reference is s5, or else the first."""
    if match == "none":
        return dict(models)
    reference = models["s5"] if "s5" in models else next(iter(models.values()))
    wanted = num_parameters(reference)

    def fitted(spec: ModelSpec) -> ModelSpec:
        return _of_width(spec, reference.width) if match == "width" else _of_size(spec, wanted)

    return {name: spec if spec is reference else fitted(spec) for name, spec in models.items()}


def _of_size(spec: ModelSpec, wanted: int) -> ModelSpec:
    """The width whose number of parameters, which grows with width, is nearest to the wanted one."""
    grain = math.lcm(GRAIN, _divisor(spec))
    low, high = 1, 2  # in grains
    while num_parameters(_of_width(spec, high * grain)) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if num_parameters(_of_width(spec, middle * grain)) >= wanted else (middle, high)
    candidates = [_of_width(spec, width * grain) for width in (low, high)]
    return min(candidates, key=lambda candidate: abs(num_parameters(candidate) - wanted))


def _of_width(spec: ModelSpec, width: int) -> ModelSpec:
    """The spec at the nearest width that it can have."""
    divisor = _divisor(spec)
    return spec.of_width(max(1, round(width / divisor)) * divisor)


def _divisor(spec: ModelSpec) -> int:
    if isinstance(spec, HybridSpec):
        return math.lcm(*map(_divisor, spec.parts))
    return 2 * spec.num_heads if isinstance(spec, TransformerSpec) else 1
