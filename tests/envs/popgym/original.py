"""popgym itself, seen as icrl sees environments: its hidden state, its flat observations, its actions, its players."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np
import popgym.envs

from icrl.envs.popgym.battleship import Board
from icrl.envs.popgym.cards import Deal
from icrl.envs.popgym.cartpole import CartPoleState
from icrl.envs.popgym.concentration import NONE, Table
from icrl.envs.popgym.count_recall import Counting
from icrl.envs.popgym.mine_sweeper import Minefield
from icrl.envs.popgym.multiarmed_bandit import Arms
from icrl.envs.popgym.pendulum import PendulumState
from icrl.types import PyTree

NAMES = {
    "stateless_cartpole": "PositionOnlyCartPole",
    "noisy_stateless_cartpole": "NoisyPositionOnlyCartPole",
    "stateless_pendulum": "PositionOnlyPendulum",
    "noisy_stateless_pendulum": "NoisyPositionOnlyPendulum",
    "repeat_previous": "RepeatPrevious",
    "repeat_first": "RepeatFirst",
    "autoencode": "Autoencode",
    "battleship": "Battleship",
    "concentration": "Concentration",
    "count_recall": "CountRecall",
    "higher_lower": "HigherLower",
    "mine_sweeper": "MineSweeper",
    "multiarmed_bandit": "MultiarmedBandit",
}
"""popgym's class of each family."""


def make(task: str) -> Any:
    """popgym's environment of a task."""
    family, _, difficulty = task.rpartition("_")
    return getattr(popgym.envs, NAMES[family] + difficulty.capitalize())()


def family_of(env: Any) -> str:
    """popgym's class name without the difficulty."""
    return type(env).__mro__[1].__name__


# ---- The hidden state


def _number(number: Any) -> Any:
    return np.int32(number)


def _deal(faces: Any, deck: Any, recited: int = 0) -> Deal:
    """popgym deals from the end of its shuffled deck."""
    return Deal(faces[deck.idx[::-1]], _number(deck.num_cards - len(deck) - 1 + recited))


def _of_autoencode(env: Any) -> Deal:
    recited = env.deck.num_cards - len(env.deck) - env.deck.hand_size("system")
    return _deal(env.deck.suits_idx, env.deck, recited)


def _of_count_recall(env: Any) -> Counting:
    values, queries = (_deal(env.deck_idx_type, deck) for deck in (env.value_deck, env.query_deck))
    return Counting(values.faces, queries.faces, values.step)


def _of_concentration(env: Any) -> Table:
    found: Any = np.isin(np.arange(env.deck.num_cards), env.deck["face_up_idx"])
    flipped = env.deck["in_play_idx"] or [NONE]
    return Table(env.deck_idx_type[env.deck.idx], found, _number(flipped[0]), _number(env.curr_step))


def _of_cartpole(env: Any) -> CartPoleState:
    motion: Any = np.float32(env.state)
    return CartPoleState(motion, _number(env.num_steps))


def _of_pendulum(env: Any) -> PendulumState:
    angle, velocity = env.state.astype(np.float32)
    return PendulumState(angle, velocity, _number(env.num_steps))


HIDDEN: dict[str, Callable[[Any], PyTree]] = {
    "RepeatFirst": lambda env: _deal(env.deck.suits_idx, env.deck),
    "RepeatPrevious": lambda env: _deal(env.deck.suits_idx, env.deck),
    "HigherLower": lambda env: _deal(env.deck.ranks_idx, env.deck),
    "Autoencode": _of_autoencode,
    "CountRecall": _of_count_recall,
    "Concentration": _of_concentration,
    "Battleship": lambda env: Board(env.board.ravel() == 1, env.guesses.ravel() == 1, _number(env.num_steps)),
    "MineSweeper": lambda env: Minefield(
        env.hidden_grid.ravel() == 1, env.hidden_grid.ravel() == 2, _number(env.timestep)
    ),
    "MultiarmedBandit": lambda env: Arms(env.bandits.copy(), _number(env.num_steps)),
    "PositionOnlyCartPole": _of_cartpole,
    "NoisyPositionOnlyCartPole": _of_cartpole,
    "PositionOnlyPendulum": _of_pendulum,
    "NoisyPositionOnlyPendulum": _of_pendulum,
}


def hidden_state(env: Any) -> PyTree:
    """What popgym hides, as the state of icrl's environment."""
    return HIDDEN[family_of(env)](env)


def flat(env: Any, observation: Any) -> np.ndarray:
    """popgym's observation as the vector that Gymnasium makes of it."""
    return np.asarray(gymnasium.spaces.flatten(env.observation_space, observation), np.float32)


def time_limit(env: Any) -> int:
    """Most steps of an episode; popgym has a name of its own for it in two games."""
    match family_of(env):
        case "Concentration":
            return env.episode_length
        case "HigherLower":
            return env.deck_size - 1
        case _:
            return env.max_episode_length


# ---- Players, who may look at what is hidden


def _player_of_repeat_previous(env: Any) -> int:
    hand = env.deck["player"]
    return env.deck.suits_idx[hand[-env.k]] if len(hand) >= env.k else 0


def _player_of_autoencode(env: Any) -> int:
    return env.deck.suits_idx[env.deck["system"][-1]]


def _player_of_higher_lower(env: Any) -> int:
    now, after = env.deck.ranks_idx[env.deck["player"][-1]], env.deck.ranks_idx[env.deck.idx[len(env.deck) - 1]]
    return 0 if after > now else 1


def _player_of_concentration(env: Any) -> int:
    faces, up = env.deck_idx_type[env.deck.idx], env.deck["face_up_idx"]
    flipped = env.deck["in_play_idx"]
    down = [place for place in range(len(faces)) if place not in up and place not in flipped]
    return next(place for place in down if not flipped or faces[place] == faces[flipped[0]])


def _player_of_battleship(env: Any) -> int:
    return int(np.argmax((env.board == 1).ravel() & (env.guesses == 0).ravel()))


EXPERTS: dict[str, Callable[[Any], Any]] = {
    "RepeatFirst": lambda env: env.card,
    "RepeatPrevious": _player_of_repeat_previous,
    "HigherLower": _player_of_higher_lower,
    "Autoencode": _player_of_autoencode,
    "CountRecall": lambda env: env.counts[env.query],
    "Concentration": _player_of_concentration,
    "Battleship": _player_of_battleship,
    "MineSweeper": lambda env: int(np.argmax(env.hidden_grid.ravel() == 0)),
    "MultiarmedBandit": lambda env: int(np.argmax(env.bandits)),
    "PositionOnlyCartPole": lambda env: int(env.state @ [0.1, 0.3, 1.0, 0.3] > 0),
    "PositionOnlyPendulum": lambda env: np.sign(env.state[1:]),
}


def expert(env: Any) -> Any:
    """The action, as icrl has it, of one who sees the hidden state; in most games the best."""
    return EXPERTS[family_of(env).removeprefix("Noisy")](env)


def random_action(env: Any, rng: np.random.Generator) -> Any:
    """A uniform action, as icrl has it; beyond the limits where there are any."""
    space = env.action_space
    if isinstance(space, gymnasium.spaces.Box):
        return rng.uniform(-1.5, 1.5, space.shape)
    return int(rng.integers(np.prod(getattr(space, "nvec", getattr(space, "n", 1)))))


def to_original(env: Any, action: Any) -> Any:
    """icrl's action as popgym's."""
    space = env.action_space
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return np.array(divmod(action, space.nvec[1]))
    if isinstance(space, gymnasium.spaces.Box):
        return np.float32(space.high * action)
    return int(action)


# ---- Episodes


@cache
def step_keys(seed: int) -> jax.Array:
    """More keys than an episode has steps."""
    return jax.random.split(jax.random.key(seed), 1024)


@cache
def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal pairs and uniform numbers, as icrl draws them from `step_keys`."""
    keys = step_keys(seed)
    return np.asarray(jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys)), np.asarray(
        jax.vmap(jax.random.uniform)(keys)
    )


class Draws:
    """Stands in for popgym's random numbers during an episode, and hands out icrl's."""

    def __init__(self, seed: int) -> None:
        self.noise, self.uniform = map(iter, drawn(seed))

    def normal(self, mean: float, std: np.ndarray) -> np.ndarray:
        return mean + std * next(self.noise)

    def random(self) -> float:
        return next(self.uniform)


class Step(NamedTuple):
    """One step of popgym, in icrl's terms."""

    state: PyTree
    action: Any
    next_state: PyTree
    observation: np.ndarray
    reward: float
    terminated: bool
    truncated: bool


def episode(env: Any, mistakes: float, *, seed: int) -> Iterator[Step]:
    """An episode of the expert, who acts at random with probability ``mistakes``; randomness is `Draws`."""
    env.reset(seed=seed)
    env.np_random = Draws(seed)
    rng = np.random.default_rng(seed)
    ended = False
    while not ended:
        state = hidden_state(env)
        action = random_action(env, rng) if rng.random() < mistakes else expert(env)
        observation, reward, terminated, truncated, _ = env.step(to_original(env, action))
        ended = terminated or truncated
        yield Step(state, action, hidden_state(env), flat(env, observation), float(reward), terminated, truncated)
