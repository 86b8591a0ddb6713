"""What a sequence model, an environment and a family of projections promise, as checks of any of them.

A contract is a tuple of parts: functions whose docstring is the promise, and which raise `BrokenError` where it is not
kept. The tests hold icrl's own to them, `icrl check` anybody's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np

from icrl.plugins import culprit
from icrl.types import PyTree

Case = TypeVar("Case")

TOLERANCE = 1e-5
"""Of equal mathematics in another order, relative and absolute. What is said to be the same is compared exactly."""


class BrokenError(Exception):
    """A part of a contract is not kept; says how."""


@dataclass(frozen=True)
class Finding:
    """What became of one part."""

    promise: str
    broken: str
    """How it is broken, empty where it is kept."""


def examine(parts: Sequence[Callable[[Case], None]], case: Case, needed: int = 0) -> Iterator[Finding]:
    """Tries every part on a case; an error inside what is examined breaks the part too.

    Where one of the first ``needed`` parts is broken, the ones after it are not tried: they would break for that.
    """
    for number, part in enumerate(parts):
        yield (finding := Finding(promise_of(part), how_broken(lambda part=part: part(case))))
        if finding.broken and number < needed:
            return


def how_broken(attempt: Callable[[], Any]) -> str:
    """What an attempt ends with, in words; empty where it succeeds."""
    try:
        attempt()
    except BrokenError as error:
        return str(error)
    except Exception as error:
        message = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        place = culprit(error)
        return f"{type(error).__name__}: {message[:300]}" + (f" ({place})" if place else "")
    return ""


def promise_of(part: Callable[..., None]) -> str:
    """The promise of a part."""
    return (part.__doc__ or part.__name__).splitlines()[0].rstrip(".")


def require(kept: Any, how: str) -> None:
    """Raises BrokenError, which says `how`, unless it holds."""
    if not kept:
        raise BrokenError(how)


def require_equal(got: PyTree, expected: PyTree, what: str) -> None:
    """Raises BrokenError unless two trees of arrays are the same, to the bit; NaN is NaN."""
    _compare(got, expected, what, tolerance=0.0)


def require_close(got: PyTree, expected: PyTree, what: str, tolerance: float = TOLERANCE) -> None:
    """Raises BrokenError unless two trees of arrays are the same to rounding; NaN is NaN."""
    _compare(got, expected, what, tolerance)


def _compare(got: PyTree, expected: PyTree, what: str, tolerance: float) -> None:
    leaves = jax.tree.leaves(got), jax.tree.leaves(expected)
    require(jax.tree.structure(got) == jax.tree.structure(expected), f"{what}: they have other leaves")
    for a, b in zip(*(map(np.asarray, jax.device_get(side)) for side in leaves), strict=True):
        require(a.shape == b.shape, f"{what}: got shape {a.shape}; expected {b.shape}")
        if a.size == 0:
            continue
        inexact = np.issubdtype(a.dtype, np.inexact)
        close = np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True) if inexact else a == b
        if not close.all():
            worst = np.argwhere(~close)[0].tolist()
            at = f" at {worst}" if worst else ""
            allowed = f"{tolerance:g} of rounding" if tolerance else "no difference"
            got_at, expected_at = a[tuple(worst)], b[tuple(worst)]
            raise BrokenError(f"{what}: got {got_at:.6g}{at}; expected {expected_at:.6g}, with {allowed}")
