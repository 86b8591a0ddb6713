"""Many environments in one batch, rows bound to tasks.

A ``lax.switch`` under ``vmap`` would run every environment for every row. Here each environment steps only its own
rows, so no physics is wasted and tasks are sampled exactly uniformly (docs/decisions.md compares this with the
paper's redrawing of the environment at every episode).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from icrl.envs.spaces import Space
from icrl.envs.trial import Episodes, EpisodeState
from icrl.errors import UserError
from icrl.types import Key, Timestep, keys_of_rows


@dataclass(frozen=True)
class Environments:
    """Rows of several `Episodes`, side by side. All must agree on observation size and action space.

    Raises:
        UserError: ``num_rows`` is not a multiple of the number of tasks.
    """

    members: tuple[Episodes, ...]
    num_rows: int

    def __post_init__(self) -> None:
        if self.num_rows < 1 or self.num_rows % len(self.tasks):
            raise UserError(
                f"rows: got {self.num_rows}; expected a multiple of the {len(self.tasks)} tasks "
                f"({', '.join(self.tasks)}), so that every task has the same number of rows"
            )
        assert len({(member.observation_size, member.action_space) for member in self.members}) == 1

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks; `row_task` indexes this tuple."""
        return tuple(task for member in self.members for task in member.tasks)

    @property
    def rows_per_task(self) -> int:
        """Rows bound to each task."""
        return self.num_rows // len(self.tasks)

    @property
    def row_task(self) -> np.ndarray:
        """``[B]`` int: the task each row is bound to."""
        return np.repeat(np.arange(len(self.tasks)), self.rows_per_task)

    @property
    def observation_size(self) -> int:
        """Length of the vector the agent sees."""
        return self.members[0].observation_size

    @property
    def privileged_size(self) -> int:
        """Length of what a privileged critic sees of a row: which task it is, and what its environment has."""
        return len(self.tasks) + max(member.privileged_size for member in self.members)

    @property
    def action_space(self) -> Space:
        """What `step` accepts, per row."""
        return self.members[0].action_space

    @property
    def trials_per_episode(self) -> int:
        """Trials of one task in a row."""
        return self.members[0].trials_per_episode

    @property
    def episode_steps(self) -> int:
        """Most env steps an episode can last."""
        return max(member.trial_steps for member in self.members) * self.trials_per_episode

    def reset(self, *, key: Key) -> tuple[tuple[EpisodeState, ...], Timestep]:
        """Starts an episode on every row."""
        key_B = keys_of_rows(key, jnp.arange(self.num_rows))
        started, first = [], 0
        for member in self.members:
            task_index = jnp.repeat(jnp.arange(len(member.tasks)), self.rows_per_task)
            started.append(member.reset(task_index, key=key_B[first : first + len(task_index)]))
            first += len(task_index)
        return self._join(started)

    def step(
        self, states: tuple[EpisodeState, ...], action: Shaped[Array, "B ..."], *, key: Key
    ) -> tuple[tuple[EpisodeState, ...], Timestep]:
        """Takes ``action`` on every row; ``key`` is ``[B]``."""
        stepped, first = [], 0
        for member, state in zip(self.members, states, strict=True):
            rows = slice(first, first + state.step.shape[0])
            stepped.append(member.step(state, action[rows], key=key[rows]))
            first = rows.stop
        return self._join(stepped)

    def _join(self, of_members: Sequence[tuple[EpisodeState, Timestep]]) -> tuple[tuple[EpisodeState, ...], Timestep]:
        states, timesteps, first = [], [], 0
        for member, (state, timestep) in zip(self.members, of_members, strict=True):
            if not isinstance(timestep.privileged, tuple):
                which = jax.nn.one_hot(first + state.task_index, len(self.tasks))
                seen = jnp.concatenate([which, timestep.privileged], axis=-1)
                room = self.privileged_size - seen.shape[-1]
                timestep = timestep._replace(privileged=jnp.pad(seen, ((0, 0), (0, room))))
            states.append(state)
            timesteps.append(timestep)
            first += len(member.tasks)
        return tuple(states), jax.tree.map(lambda *parts: jnp.concatenate(parts), *timesteps)
