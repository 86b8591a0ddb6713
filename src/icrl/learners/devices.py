"""Several seeds of a learner, their rows shared out over the devices of a mesh.

Every device holds the same share of every task's rows and updates it as a learner of its own; averages, advantages'
moments and gradients are taken over all of them (``OnPolicy.axis``), so parameters stay the same everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from icrl.envs.multi import Environments
from icrl.learners.on_policy import LearnerState, OnPolicy
from icrl.learners.seeds import over_seeds
from icrl.rollout import Carry
from icrl.types import PyTree

ROWS = "rows"
"""Name of the mesh's only axis."""

EVERYWHERE, BY_ROW = PartitionSpec(), PartitionSpec(None, None, ROWS)
LAYOUT: Any = LearnerState._make(BY_ROW if name == "carry" else EVERYWHERE for name in LearnerState._fields)
"""What each part of a state is shared by."""


def mesh_of(devices: Sequence[Any]) -> jax.sharding.Mesh:
    """The mesh whose devices share rows."""
    return jax.sharding.Mesh(np.array(devices), (ROWS,))


@dataclass(frozen=True)
class SharedLearner:
    """A learner's `init` and its `updates`, for all seeds and on all devices of ``mesh``.

    States have a leading seed axis, and the carry keeps the rows of each task together, ``[S, tasks, rows, ...]``: so
    a saved state does not depend on the number of devices.
    """

    learner: OnPolicy
    mesh: jax.sharding.Mesh

    @property
    def sharding(self) -> PyTree:
        """Where a state lives: a prefix of its tree."""
        return jax.tree.map(
            lambda spec: NamedSharding(self.mesh, spec), LAYOUT, is_leaf=lambda x: isinstance(x, PartitionSpec)
        )

    def init(self, keys: jax.Array) -> LearnerState:
        """Fresh agents from raw keys ``[S, 2]``."""

        def init(key: jax.Array) -> LearnerState:
            state = self.learner.init(key)
            return state._replace(carry=by_task(state.carry, self.learner.environments))

        return over_seeds(init)(keys)

    def updates(self, num_updates: int, state: LearnerState) -> tuple[LearnerState, dict[str, jax.Array]]:
        """Several updates of every seed, and their metrics ``[S, num_updates, ...]``."""
        learner = replace(self.learner, axis=ROWS)

        def update(state: LearnerState, _: None) -> tuple[LearnerState, dict[str, jax.Array]]:
            state, metrics = learner.update(state)
            return state, metrics | {"parameter_norm": optax.tree.norm(state.params)}

        def updates(state: LearnerState) -> tuple[LearnerState, dict[str, jax.Array]]:
            state = state._replace(carry=jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), state.carry))
            state, metrics = jax.lax.scan(update, state, length=num_updates)
            return state._replace(carry=by_task(state.carry, learner.environments)), metrics

        on_devices: Any = partial(jax.shard_map, mesh=self.mesh, check_vma=False)
        return on_devices(over_seeds(updates), in_specs=(LAYOUT,), out_specs=(LAYOUT, EVERYWHERE))(state)


def by_task(carry: Carry, environments: Environments) -> Carry:
    """Splits the row axis of every leaf: ``[B, ...]`` to ``[tasks, B / tasks, ...]``."""

    def split(num_tasks: int, tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: x.reshape(num_tasks, -1, *x.shape[1:]), tree)

    apart = tuple(
        split(len(member.tasks), state) for member, state in zip(environments.members, carry.environment, strict=True)
    )
    return split(len(environments.tasks), carry._replace(environment=None))._replace(environment=apart)
