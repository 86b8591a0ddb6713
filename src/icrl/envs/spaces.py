"""Action spaces."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Continuous:
    """Vectors of ``size`` real numbers. Environments clip them to [-1, 1]; agents need not."""

    size: int


@dataclass(frozen=True)
class Discrete:
    """Integers 0 .. ``size`` - 1."""

    size: int


Space = Continuous | Discrete
