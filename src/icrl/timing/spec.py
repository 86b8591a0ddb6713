"""What a benchmark is asked to do."""

from dataclasses import dataclass
from typing import Literal

from icrl.errors import SpecError

Match = Literal["parameters", "width", "none"]


@dataclass(frozen=True)
class BenchmarkSpec:
    """How the models of a spec are compared by `icrl benchmark`."""

    rows: int = 8
    """Batch rows of the sweep over lengths."""
    repetitions: int = 5
    """Timed rounds, after one that warms up."""
    match: Match = "parameters"
    """What the models are brought to share with the reference, s5 or else the first, by their width."""
    max_seconds: float = 10.0
    """Longest estimated time of one run of a program; a model beyond it is skipped."""
    max_memory_bytes: float = 8e9
    """Largest memory that XLA reports for a program; a model beyond it is skipped."""

    def __post_init__(self) -> None:
        for name in ("rows", "repetitions"):
            if getattr(self, name) < 1:
                raise SpecError.of(name, got=getattr(self, name), expected="at least 1")
        for name in ("max_seconds", "max_memory_bytes"):
            if getattr(self, name) <= 0:
                raise SpecError.of(name, got=getattr(self, name), expected="above 0")
