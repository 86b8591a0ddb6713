"""The ladder of projections: the names of its rungs, the easiest first."""

from typing import Literal, get_args

Rung = Literal["identity", "sign", "signed_permutation", "orthogonal", "gaussian"]
RUNGS: tuple[Rung, ...] = get_args(Rung)
