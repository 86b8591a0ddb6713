"""Decks of cards, numbered and dealt as in popgym.

Card c of several decks of 52 has suit ``c mod 4``, colour ``c mod 2`` and rank ``(c mod 52) // 4``. No game tells
apart two cards with the same face, so only the faces are kept, in the order in which they are dealt.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from icrl.types import Key

Face = Literal["suit", "rank", "color"]

NUM_FACES: dict[Face, int] = {"suit": 4, "rank": 13, "color": 2}
"""How many different faces there are."""
DECK_SIZE = 52


class Deal(NamedTuple):
    """A shuffled pile of cards that is uncovered one by one."""

    faces: jax.Array  # [N] int32, in the order of dealing
    step: jax.Array  # [] int32: steps taken; card number ``step`` lies open


def shuffle(face: Face, num_decks: int, *, key: Key) -> jax.Array:
    """The faces ``[N]`` of all cards, in random order."""
    card = jnp.arange(DECK_SIZE * num_decks)
    faces = {"suit": card % 4, "rank": card % DECK_SIZE // 4, "color": card % 2}[face]
    return jax.random.permutation(key, faces)


def deal(face: Face, num_decks: int, *, key: Key) -> Deal:
    """A shuffled pile with its first card open."""
    return Deal(shuffle(face, num_decks, key=key), jnp.int32(0))
