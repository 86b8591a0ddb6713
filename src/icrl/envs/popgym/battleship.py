"""Battleship: sink ships on a board that is never seen."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from icrl.envs.popgym.popgym_environment import PopgymEnvironment
from icrl.envs.spaces import Discrete
from icrl.types import Key, Transition

SHIP_SIZES = (2, 3, 3, 4)
"""Squares of each ship, in the order in which they are placed."""


class Board(NamedTuple):
    """Squares are numbered row by row."""

    ship: jax.Array  # [N] bool
    shot: jax.Array  # [N] bool: fired at
    step: jax.Array  # [] int32: steps taken


@dataclass(frozen=True)
class Battleship(PopgymEnvironment):
    """Each action fires at one of N squares; a hit earns 1 / S, a miss or a repeated shot costs 1 / (N - S).

    S is the number of squares with ships. Observation: miss or hit, one-hot. The action is ``size * row + column``,
    popgym's pair as one number. Terminates when all ships are sunk; truncated after N shots.
    """

    size: int
    """Squares along each side of the board."""

    observation_size = 2

    @property
    def action_space(self) -> Discrete:  # type: ignore[override]
        """The square to fire at."""
        return Discrete(self.size**2)

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """As many shots as squares."""
        return self.size**2

    def reset(self, task: tuple[()], *, key: Key) -> tuple[Board, jax.Array]:
        """Places the ships one by one, uniformly among the places where they fit."""
        ship = jnp.zeros(self.size**2, bool)
        for length, ship_key in zip(SHIP_SIZES, jax.random.split(key, len(SHIP_SIZES)), strict=True):
            places = jnp.asarray(straight_lines(self.size, length))
            free = ~jnp.any(places & ship, axis=1)
            ship |= places[jax.random.categorical(ship_key, jnp.where(free, 0.0, -jnp.inf))]
        return Board(ship, jnp.zeros_like(ship), jnp.int32(0)), jax.nn.one_hot(0, 2)

    def step(self, task: tuple[()], state: Board, action: jax.Array, *, key: Key) -> tuple[Board, Transition]:
        """Fires."""
        del key
        hit = state.ship[action] & ~state.shot[action]
        state = Board(state.ship, state.shot.at[action].set(True), state.step + 1)
        num_targets = sum(SHIP_SIZES)
        sunk = jnp.all(state.shot | ~state.ship)
        return state, Transition(
            jax.nn.one_hot(hit.astype(jnp.int32), 2),
            jnp.where(hit, 1 / num_targets, -1 / (self.size**2 - num_targets)),
            terminated=sunk,
            truncated=(state.step >= self.max_trial_steps) & ~sunk,
        )


def straight_lines(size: int, length: int) -> np.ndarray:
    """Every place ``[K, N]`` of ``length`` squares in a row or in a column of a board, as masks over its squares."""
    square = np.arange(size**2).reshape(size, size)
    rows = [square[i, j : j + length] for i in range(size) for j in range(size - length + 1)]
    columns = [square[i : i + length, j] for i in range(size - length + 1) for j in range(size)]
    return np.stack([np.isin(square.ravel(), place) for place in rows + columns])
