"""Autoencode: watch a pile of cards, then recite it backwards."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from icrl.envs.popgym.cards import DECK_SIZE, NUM_FACES, Deal, deal
from icrl.envs.popgym.popgym_environment import PopgymEnvironment, plus_or_minus
from icrl.envs.spaces import Discrete
from icrl.types import Key, Transition

PLAY, WATCH = 0, 1


@dataclass(frozen=True)
class Autoencode(PopgymEnvironment):
    """N cards are shown; then N actions name their suits, last card first, for plus or minus 1 / N each.

    Observation: PLAY or WATCH, then the open card's suit, both one-hot. PLAY is on from the last card shown; while
    reciting, the suit reads 0 whatever the card.
    """

    num_decks: int

    observation_size = 2 + NUM_FACES["suit"]
    action_space = Discrete(NUM_FACES["suit"])

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """One step for every card but the first, and one for every answer."""
        return 2 * DECK_SIZE * self.num_decks - 1

    def reset(self, task: tuple[()], *, key: Key) -> tuple[Deal, jax.Array]:
        """Shuffles, and shows the first card."""
        state = deal("suit", self.num_decks, key=key)
        return state, self._observe(state)

    def step(self, task: tuple[()], state: Deal, action: jax.Array, *, key: Key) -> tuple[Deal, Transition]:
        """Shows the next card, or compares the action with the card to recite."""
        del key
        num_cards = state.faces.size
        recited = 2 * (num_cards - 1) - state.step
        answer = plus_or_minus(action == state.faces[recited])
        reward = jnp.where(recited < num_cards, answer, 0.0) / num_cards
        state = state._replace(step=state.step + 1)
        ended = state.step == self.max_trial_steps
        return state, Transition(self._observe(state), reward, ended, jnp.zeros((), bool))

    def _observe(self, state: Deal) -> jax.Array:
        last = state.faces.size - 1
        mode = jnp.where(state.step < last, WATCH, PLAY)
        suit = jnp.where(state.step <= last, state.faces[state.step], 0)
        return jnp.concatenate([jax.nn.one_hot(mode, 2), jax.nn.one_hot(suit, NUM_FACES["suit"])])
