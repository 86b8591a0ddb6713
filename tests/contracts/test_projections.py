"""The contract of projections: the rungs keep it, and what breaks it is told how."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.contracts.projections import examine_projection
from icrl.envs.ladder import RUNGS
from icrl.envs.projection import FAMILIES, Family


@pytest.mark.parametrize("rung", RUNGS)
def test_every_rung_keeps_the_contract(rung: str):
    assert [finding for finding in examine_projection(FAMILIES[rung]) if finding.broken] == []


def normal(outer: int, inner: int, *, key: jax.Array) -> jax.Array:
    return jax.random.normal(key, (outer, inner))


def transposed(outer: int, inner: int, *, key: jax.Array) -> jax.Array:
    return normal(inner, outer, key=key)


def numpys(outer: int, inner: int, *, key: jax.Array) -> jax.Array:
    return jnp.float32(np.random.default_rng().normal(size=(outer, inner)))


@pytest.mark.parametrize(
    ("family", "promise", "how"),
    [
        (Family(transposed), "sample(outer, inner", "sample(6, 4) gives float32[4,6]; expected float32[6,4]"),
        (Family(numpys), "The same key", "matrix [draw, row, column] of the same key: got "),
        (Family(normal), "A unit-size observation", "4 coordinates of size 1 in 6 slots have squared length "),
        (Family(normal), "A unit-size action", "of 6 coordinates of size 1, each of 4 has mean square "),
        (Family(lambda o, i, *, key: jnp.eye(o, i) / 0), "sample(outer, inner", "sample(6, 4) is not finite"),
    ],
)
def test_a_broken_part_is_named_with_how_it_is_broken(family: Family, promise: str, how: str):
    broken = [(f.promise, f.broken) for f in examine_projection(family) if f.broken]
    ((_, found),) = [(kept, said) for kept, said in broken if kept.startswith(promise)]
    assert how in found
