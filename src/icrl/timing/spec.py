"""What a benchmark is asked to do."""

from dataclasses import dataclass
from typing import Literal

from icrl.fields import PositiveFloat, PositiveInt, Spec

Match = Literal["parameters", "width", "none"]


@dataclass(frozen=True)
class BenchmarkSpec(Spec):
    """How the models of a spec are compared by `icrl benchmark`."""

    rows: PositiveInt = 8
    """Batch rows of the sweep over lengths."""
    repetitions: PositiveInt = 5
    """Timed rounds, after one that warms up."""
    match: Match = "parameters"
    """What the models are brought to share with the reference, s5 or else the first, by their width."""
    max_seconds: PositiveFloat = 10.0
    """Longest estimated time of one run of a program; a model beyond it is skipped."""
    max_memory_bytes: PositiveFloat = 8e9
    """Largest memory that XLA reports for a program; a model beyond it is skipped."""
