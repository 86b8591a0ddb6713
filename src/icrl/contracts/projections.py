"""The contract of families of projections (`icrl.envs.projection`)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from icrl.compiling import jit_for_one_run
from icrl.contracts import Finding, examine, require, require_equal
from icrl.envs.projection import Family
from icrl.types import type_of

NUM_DRAWS = 2_000
SCALE_TOLERANCE = 0.1
"""Of mean squares over all draws."""
WIDE, SQUARE, NARROW = (6, 4), (5, 5), (3, 5)
"""Slots and coordinates."""


def sizes_of(family: Family) -> tuple[tuple[int, int], ...]:
    """The sizes that a family must fit."""
    return (WIDE, SQUARE) if family.needs_room else (WIDE, SQUARE, NARROW)


def draw(family: Family, outer: int, inner: int, jit: Callable[..., Callable] = jit_for_one_run) -> np.ndarray:
    """Matrices ``[NUM_DRAWS, outer, inner]``, traced anew."""
    keys = jax.random.split(jax.random.key(0), NUM_DRAWS)
    return np.asarray(jit(jax.vmap(lambda key: family.sample(outer, inner, key=key)))(keys))


def draws_fit(family: Family) -> None:
    """sample(outer, inner, key=key) gives a finite float32 matrix [outer, inner], under jit and vmap."""
    for outer, inner in sizes_of(family):
        shape = jax.eval_shape(lambda key, o=outer, i=inner: family.sample(o, i, key=key), jax.random.key(0))
        expected = f"float32[{outer},{inner}]"
        require(type_of(shape) == expected, f"sample({outer}, {inner}) gives {type_of(shape)}; expected {expected}")
        require(np.isfinite(draw(family, outer, inner)).all(), f"sample({outer}, {inner}) is not finite")


def a_key_determines_the_draw(family: Family) -> None:
    """The same key gives the same matrix, however often it is traced."""
    require_equal(draw(family, *WIDE), draw(family, *WIDE), "matrix [draw, row, column] of the same key")


def observations_keep_their_size(family: Family) -> None:
    """A unit-size observation stays at unit size: as many slots as coordinates keep its squared length."""
    for outer, inner in sizes_of(family):
        squared = float((draw(family, outer, inner) ** 2).sum((1, 2)).mean())
        low, high = (1 - SCALE_TOLERANCE) * min(outer, inner), (1 + SCALE_TOLERANCE) * max(outer, inner)
        expected = (
            f"{outer}" if outer == inner else f"from {min(outer, inner)} (as it is) to {max(outer, inner)} (spread out)"
        )
        how = f"{inner} coordinates of size 1 in {outer} slots have squared length {squared:.3g}; expected {expected}"
        require(low <= squared <= high, how)


def actions_keep_their_size(family: Family) -> None:
    """A unit-size action stays at unit size under the transpose times action_scale(outer, inner)."""
    for outer, inner in sizes_of(family):
        scaled = draw(family, outer, inner) * float(jnp.asarray(family.action_scale(outer, inner)))
        squared = float((scaled**2).sum((1, 2)).mean()) / inner
        how = f"of {outer} coordinates of size 1, each of {inner} has mean square {squared:.3g}; expected 1"
        require(abs(squared - 1) <= SCALE_TOLERANCE, how)


PROJECTION_CONTRACT = (draws_fit, a_key_determines_the_draw, observations_keep_their_size, actions_keep_their_size)


def examine_projection(family: Family) -> list[Finding]:
    """What becomes of every part of the contract for a family."""
    return list(examine(PROJECTION_CONTRACT, family))
