"""Several seeds of a learner, they and their rows shared out over the devices of a mesh.

Seeds come first, since they have nothing to say to one another: two devices with a seed each never wait. The devices
of a seed hold the same share of every task's rows, and each updates it as a learner of its own; averages, advantages'
moments and gradients are taken over all of them (``Learner.axis``), so parameters stay the same on each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from icrl.envs.multi import Environments
from icrl.learners.learner import Learner, LearnerState
from icrl.learners.seeds import over_seeds
from icrl.rollout import Carry
from icrl.types import PyTree

SEEDS, ROWS = "seeds", "rows"
"""Names of the mesh's axes."""

BY_SEED, BY_ROW = PartitionSpec(SEEDS), PartitionSpec(SEEDS, None, ROWS)
LAYOUT: Any = LearnerState._make(BY_ROW if name == "carry" else BY_SEED for name in LearnerState._fields)
"""What each part of a state is shared by."""


def mesh_of(devices: Sequence[Any], num_seeds: int = 1) -> jax.sharding.Mesh:
    """The mesh whose devices share as many seeds as they can share equally, and the rows of each."""
    groups = math.gcd(num_seeds, len(devices))
    return jax.sharding.Mesh(np.array(devices).reshape(groups, -1), (SEEDS, ROWS))


@dataclass(frozen=True)
class SharedLearner:
    """A learner's `init` and its `updates`, for all seeds and on all devices of ``mesh``.

    States have a leading seed axis, and the carry keeps the rows of each task together, ``[S, tasks, rows, ...]``: so
    a saved state does not depend on the number of devices.
    """

    learner: Learner
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
            return state, metrics | {"parameter_norm": optax.tree.norm(state.agent.params)}

        def updates(state: LearnerState) -> tuple[LearnerState, dict[str, jax.Array]]:
            state = state._replace(carry=jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), state.carry))
            state, metrics = jax.lax.scan(update, state, length=num_updates)
            return state._replace(carry=by_task(state.carry, learner.environments)), metrics

        on_devices: Any = partial(jax.shard_map, mesh=self.mesh, check_vma=False)
        return on_devices(over_seeds(updates), in_specs=(LAYOUT,), out_specs=(LAYOUT, BY_SEED))(state)

    def lower(self, num_updates: int, state: LearnerState) -> jax.stages.Lowered:
        """The program of `updates` for a state like ``state``, whose buffers it takes for the next one's."""
        updates = partial(self.updates, num_updates)
        return jax.jit(updates, in_shardings=(self.sharding,), donate_argnums=0).lower(state)


def by_task(carry: Carry, environments: Environments) -> Carry:
    """Splits the row axis of every leaf: ``[B, ...]`` to ``[tasks, B / tasks, ...]``."""

    def split(num_tasks: int, tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: x.reshape(num_tasks, -1, *x.shape[1:]), tree)

    apart = tuple(
        split(len(member.tasks), state) for member, state in zip(environments.members, carry.environment, strict=True)
    )
    return split(len(environments.tasks), carry._replace(environment=None))._replace(environment=apart)
