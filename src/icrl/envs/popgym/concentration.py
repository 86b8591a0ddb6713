"""Concentration: find pairs among cards that lie face down."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from icrl.envs.popgym.cards import DECK_SIZE, NUM_FACES, Face, shuffle
from icrl.envs.popgym.popgym_environment import PopgymEnvironment
from icrl.envs.spaces import Discrete
from icrl.types import Key, Transition

NONE = -1
"""Stands for a card where none is flipped."""


class Table(NamedTuple):
    """The cards on the table."""

    faces: jax.Array  # [N] int32
    found: jax.Array  # [N] bool: paired, and face up for good
    flipped: jax.Array  # [] int32: place of the first card of an unfinished turn, or NONE
    step: jax.Array  # [] int32: steps taken


@dataclass(frozen=True)
class Concentration(PopgymEnvironment):
    """Each action flips one of N cards; two flips make a turn, and cards of equal face stay up.

    Observation: for every place its face, or "face down" as one more face, one-hot, place by place. The turn's second
    card is seen as it is flipped, in the observation that follows it. A pair earns 2 / N. Each flip of a failed turn
    costs 1 / limit, where a turn also fails on flipping a card that is up. Terminates when all are paired; truncated
    after ``limit`` steps, about 2 N.
    """

    num_decks: int
    face: Face
    """What makes a pair."""

    @property
    def num_cards(self) -> int:
        """N."""
        return DECK_SIZE * self.num_decks

    @property
    def observation_size(self) -> int:  # type: ignore[override]
        """A face, or none, at every place."""
        return self.num_cards * (NUM_FACES[self.face] + 1)

    @property
    def action_space(self) -> Discrete:  # type: ignore[override]
        """The place of the card to flip."""
        return Discrete(self.num_cards)

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """``limit``: what a player with perfect memory needs on average, as popgym has it."""
        n = self.num_cards
        return math.ceil(2 * n - n / (2 * n - 1))

    def reset(self, task: tuple[()], *, key: Key) -> tuple[Table, jax.Array]:
        """Shuffles; all cards lie face down."""
        faces = shuffle(self.face, self.num_decks, key=key)
        none_found = jnp.zeros(self.num_cards, bool)
        return Table(faces, none_found, jnp.int32(NONE), jnp.int32(0)), self._observe(faces, none_found)

    def step(self, task: tuple[()], state: Table, action: jax.Array, *, key: Key) -> tuple[Table, Transition]:
        """Flips a card, and settles the turn it may finish."""
        del key
        place = jnp.arange(self.num_cards)
        second = state.flipped != NONE
        in_turn = (place == action) | (place == state.flipped)

        wasted = state.found[action]
        pair = second & (state.faces[action] == state.faces[state.flipped]) & (action != state.flipped) & ~wasted
        settled = second | wasted
        found = state.found | (pair & in_turn)
        failed = -(1.0 + second) / self.max_trial_steps
        reward = jnp.where(pair, 2 / self.num_cards, jnp.where(settled, failed, 0.0))

        step = state.step + 1
        terminated = pair & jnp.all(found)
        after = Table(state.faces, found, jnp.where(settled, NONE, action).astype(jnp.int32), step)
        return after, Transition(
            self._observe(state.faces, state.found | in_turn),
            reward,
            terminated,
            truncated=(step >= self.max_trial_steps) & ~terminated,
        )

    def _observe(self, faces: jax.Array, up: jax.Array) -> jax.Array:
        down = NUM_FACES[self.face]
        return jax.nn.one_hot(jnp.where(up, faces, down), down + 1).ravel()
