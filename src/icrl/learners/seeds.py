"""Several independent agents in one program."""

from collections.abc import Callable
from typing import TypeVar

import jax

S = TypeVar("S")
R = TypeVar("R")


def over_seeds(f: Callable[[S], R]) -> Callable[[S], R]:
    """``f`` for every seed, on arguments and results with a leading seed axis ``[S, ...]``.

    An accelerator runs the seeds side by side (``vmap``); resets and bootstraps stay rare there, since their conditions
    are of all seeds at once (`icrl.types.any_row`). A CPU runs them one after the other (``lax.map``): it has no width
    to spare.
    """
    if jax.default_backend() == "cpu":
        return lambda xs: jax.lax.map(f, xs)
    return jax.vmap(f)
