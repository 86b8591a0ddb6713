"""CountRecall: how often has a card been dealt?"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from icrl.envs.popgym.cards import DECK_SIZE, NUM_FACES, Face, shuffle
from icrl.envs.popgym.popgym_environment import PopgymEnvironment, plus_or_minus
from icrl.envs.spaces import Discrete
from icrl.types import Key, Transition


class Counting(NamedTuple):
    """Two piles that are uncovered side by side."""

    values: jax.Array  # [N] int32: the faces dealt
    queries: jax.Array  # [N] int32: the faces asked for
    step: jax.Array  # [] int32: steps taken


@dataclass(frozen=True)
class CountRecall(PopgymEnvironment):
    """Every action says how often the face asked for has been dealt so far, for plus or minus 1 / (N - 1).

    Observation: the face dealt, then the face asked for, both one-hot. Actions reach from 0 to as many cards as share
    a face. Ends with the last of the N cards.
    """

    num_decks: int
    face: Face
    """What tells cards apart."""

    @property
    def max_count(self) -> int:
        """How many cards share a face."""
        return DECK_SIZE * self.num_decks // NUM_FACES[self.face]

    @property
    def observation_size(self) -> int:  # type: ignore[override]
        """Two faces."""
        return 2 * NUM_FACES[self.face]

    @property
    def action_space(self) -> Discrete:  # type: ignore[override]
        """The counts 0 .. `max_count`."""
        return Discrete(self.max_count + 1)

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """One less than there are cards."""
        return DECK_SIZE * self.num_decks - 1

    def reset(self, task: tuple[()], *, key: Key) -> tuple[Counting, jax.Array]:
        """Shuffles both piles, and opens their first cards."""
        value_key, query_key = jax.random.split(key)
        values = shuffle(self.face, self.num_decks, key=value_key)
        queries = shuffle(self.face, self.num_decks, key=query_key)
        state = Counting(values, queries, jnp.int32(0))
        return state, self._observe(state)

    def step(self, task: tuple[()], state: Counting, action: jax.Array, *, key: Key) -> tuple[Counting, Transition]:
        """Compares the action with the count asked for, and opens the next cards."""
        del key
        dealt = jnp.arange(state.values.size) <= state.step
        count = jnp.sum(dealt & (state.values == state.queries[state.step]))
        state = state._replace(step=state.step + 1)
        return state, Transition(
            self._observe(state),
            plus_or_minus(action == count) / self.max_trial_steps,
            terminated=state.step == self.max_trial_steps,
            truncated=jnp.zeros((), bool),
        )

    def _observe(self, state: Counting) -> jax.Array:
        faces = jnp.stack([state.values[state.step], state.queries[state.step]])
        return jax.nn.one_hot(faces, NUM_FACES[self.face]).ravel()
