"""The ladder of projections: the names of its rungs, the easiest first. Families from outside icrl stand on none."""

RUNGS = ("identity", "sign", "signed_permutation", "orthogonal", "gaussian")
