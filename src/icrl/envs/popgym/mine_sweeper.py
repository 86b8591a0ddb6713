"""MineSweeper: clear a minefield that is never seen."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from icrl.envs.popgym.popgym_environment import PopgymEnvironment
from icrl.envs.spaces import Discrete
from icrl.types import Key, Transition


class Minefield(NamedTuple):
    """Squares are numbered row by row."""

    mine: jax.Array  # [N] bool
    viewed: jax.Array  # [N] bool
    step: jax.Array  # [] int32: steps taken


@dataclass(frozen=True)
class MineSweeper(PopgymEnvironment):
    """Each action views one of N squares, F of them free of mines.

    A free square earns 1 / F, one viewed before costs 0.5 / (F - 2), and a mine costs 0.5 + 1 / F and ends the trial.
    Observation: the number of mines on the square and its eight neighbours, one-hot; at the start 0. The action is
    ``size * row + column``, popgym's pair as one number. Terminates on a mine, or with every free square viewed;
    truncated after F steps, so success leaves no step to waste.
    """

    size: int
    """Squares along each side of the field."""
    num_mines: int

    @property
    def num_free(self) -> int:
        """F."""
        return self.size**2 - self.num_mines

    @property
    def observation_size(self) -> int:  # type: ignore[override]
        """The counts 0 .. 9, or up to the number of mines."""
        return min(self.num_mines, 9) + 1

    @property
    def action_space(self) -> Discrete:  # type: ignore[override]
        """The square to view."""
        return Discrete(self.size**2)

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """As many as free squares."""
        return self.num_free

    def reset(self, task: tuple[()], *, key: Key) -> tuple[Minefield, jax.Array]:
        """Lays the mines, uniformly."""
        mine = jax.random.permutation(key, jnp.arange(self.size**2) < self.num_mines)
        return Minefield(mine, jnp.zeros_like(mine), jnp.int32(0)), jax.nn.one_hot(0, self.observation_size)

    def step(self, task: tuple[()], state: Minefield, action: jax.Array, *, key: Key) -> tuple[Minefield, Transition]:
        """Views a square."""
        del key
        on_mine, again = state.mine[action], state.viewed[action]
        gain, loss = 1 / self.num_free, -0.5 / (self.num_free - 2)
        reward = jnp.where(on_mine, -0.5 - gain, jnp.where(again, loss, gain))
        viewed = state.viewed.at[action].set(again | ~on_mine)
        state = Minefield(state.mine, viewed, state.step + 1)
        terminated = on_mine | jnp.all(state.mine | state.viewed)

        row, column = jnp.divmod(jnp.arange(self.size**2), self.size)
        near = (jnp.abs(row - action // self.size) <= 1) & (jnp.abs(column - action % self.size) <= 1)
        return state, Transition(
            jax.nn.one_hot(jnp.sum(near & state.mine), self.observation_size),
            reward,
            terminated,
            truncated=(state.step == self.max_trial_steps) & ~terminated,
        )
