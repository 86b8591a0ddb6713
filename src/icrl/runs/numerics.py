"""The settings of JAX that change numbers: a run's are its own, whatever the environment says."""

from __future__ import annotations

import logging
import os
from typing import Any

import jax

logger = logging.getLogger(__name__)

NUMERICS = {
    "jax_default_matmul_precision": "highest",
    "jax_default_prng_impl": "threefry2x32",
    "jax_enable_custom_prng": False,
    "jax_enable_x64": False,
    "jax_high_dynamic_range_gumbel": False,
    "jax_legacy_prng_key": "allow",
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_random_seed_offset": 0,
    "jax_softmax_custom_jvp": False,
    "jax_threefry_partitionable": True,
}


def pin() -> dict[str, Any]:
    """Gives JAX icrl's numerics, warns of those that an environment variable set otherwise, and returns them.

    With them comes ``XLA_FLAGS``, which is taken as it is.
    """
    pinned = {name: value for name, value in NUMERICS.items() if name in jax.config.values}
    for name, value in pinned.items():
        if getattr(jax.config, name) != value:
            if name.upper() in os.environ:
                logger.warning("%s: is ignored; icrl computes with %s", name.upper(), value)
            jax.config.update(name, value)
    return {**pinned, "XLA_FLAGS": os.environ.get("XLA_FLAGS")}
