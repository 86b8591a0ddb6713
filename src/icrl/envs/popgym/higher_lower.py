"""HigherLower: is the next card higher or lower?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from icrl.envs.popgym.cards import DECK_SIZE, NUM_FACES, Deal, deal
from icrl.envs.popgym.popgym_environment import PopgymEnvironment, plus_or_minus
from icrl.envs.spaces import Discrete
from icrl.types import Key, Transition

HIGHER, LOWER = 0, 1


@dataclass(frozen=True)
class HigherLower(PopgymEnvironment):
    """Every action guesses the next of N cards, for plus or minus 1 / N; a card of equal rank earns nothing.

    Observation: the open card's rank, one-hot. Counting cards improves the guess. Ends with the last card.
    """

    num_decks: int

    observation_size = NUM_FACES["rank"]
    action_space = Discrete(2)

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """One less than there are cards."""
        return DECK_SIZE * self.num_decks - 1

    def reset(self, task: tuple[()], *, key: Key) -> tuple[Deal, jax.Array]:
        """Shuffles, and opens the first card."""
        state = deal("rank", self.num_decks, key=key)
        return state, self._observe(state)

    def step(self, task: tuple[()], state: Deal, action: jax.Array, *, key: Key) -> tuple[Deal, Transition]:
        """Opens the next card."""
        del key
        num_cards = state.faces.size
        before, after = state.faces[state.step], state.faces[state.step + 1]
        answer = plus_or_minus((after > before) == (action == HIGHER))
        state = state._replace(step=state.step + 1)
        return state, Transition(
            self._observe(state),
            jnp.where(after == before, 0.0, answer) / num_cards,
            terminated=state.step == num_cards - 1,
            truncated=jnp.zeros((), bool),
        )

    def _observe(self, state: Deal) -> jax.Array:
        return jax.nn.one_hot(state.faces[state.step], NUM_FACES["rank"])
