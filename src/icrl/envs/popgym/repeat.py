"""RepeatFirst and RepeatPrevious: name the suit of an earlier card."""

import abc
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from icrl.envs.popgym.cards import DECK_SIZE, NUM_FACES, Deal, deal
from icrl.envs.popgym.popgym_environment import PopgymEnvironment, plus_or_minus
from icrl.envs.spaces import Discrete
from icrl.types import Key, Transition


@dataclass(frozen=True)
class Repeat(PopgymEnvironment):
    """N cards are dealt one by one, and every action names a suit. Ends with the last card.

    Observation: the open card's suit, one-hot.
    """

    num_decks: int

    observation_size = NUM_FACES["suit"]
    action_space = Discrete(NUM_FACES["suit"])

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """One less than there are cards."""
        return DECK_SIZE * self.num_decks - 1

    @abc.abstractmethod
    def reward(self, state: Deal, action: jax.Array) -> jax.Array:
        """What naming a suit earns, before the next card is opened."""

    def reset(self, task: tuple[()], *, key: Key) -> tuple[Deal, jax.Array]:
        """Shuffles, and opens the first card."""
        state = deal("suit", self.num_decks, key=key)
        return state, self._observe(state)

    def step(self, task: tuple[()], state: Deal, action: jax.Array, *, key: Key) -> tuple[Deal, Transition]:
        """Judges the action, and opens the next card."""
        del key
        reward = self.reward(state, action)
        state = state._replace(step=state.step + 1)
        return state, Transition(
            self._observe(state),
            reward,
            terminated=state.step == self.max_trial_steps,
            truncated=jnp.zeros((), bool),
        )

    def _observe(self, state: Deal) -> jax.Array:
        return jax.nn.one_hot(state.faces[state.step], NUM_FACES["suit"])


@dataclass(frozen=True)
class RepeatFirst(Repeat):
    """The suit to name is that of the first card, for plus or minus 1 / (N - 1)."""

    def reward(self, state: Deal, action: jax.Array) -> jax.Array:
        """Compares with the first card."""
        return plus_or_minus(action == state.faces[0]) / self.max_trial_steps


@dataclass(frozen=True)
class RepeatPrevious(Repeat):
    """The suit to name is that of the card k - 1 before the open one, for plus or minus 1 / (N - k).

    The first k - 1 actions, for which there is no such card, earn nothing.
    """

    k: int
    """Cards to remember, the open one included."""

    def reward(self, state: Deal, action: jax.Array) -> jax.Array:
        """Compares with the card to remember."""
        asked = state.step - (self.k - 1)
        answer = plus_or_minus(action == state.faces[asked])
        return jnp.where(asked >= 0, answer, 0.0) / (state.faces.size - self.k)
