"""POPGym (arXiv 2303.01859, github.com/proroklab/popgym 1.0.7, MIT) in JAX: games that only memory can win.

The same state and actions give the same observations, rewards and ends as in popgym, step by step; tests compare them.
Common to all:

- Observations are flat vectors, discrete ones as one-hot vectors side by side, as in Gymnasium's ``flatten``.
- A pair of discrete actions is one number, ``columns * row + column``; an action of 1 is the full torque.
- Rewards are popgym's: a trial's return lies in [-1, 1], 1 being the best (MineSweeper's worst is a little below -1).
- ``terminated`` and ``truncated`` are popgym's own. Where both happen at once, ``terminated`` stands alone.

popgym has renamed two of the paper's families: its PositionOnlyCartPole and PositionOnlyPendulum are the paper's
StatelessCartPole and StatelessPendulum, the name they have here.
"""

from collections.abc import Sequence
from dataclasses import replace

from icrl.envs.popgym.autoencode import Autoencode
from icrl.envs.popgym.battleship import Battleship
from icrl.envs.popgym.cartpole import StatelessCartPole
from icrl.envs.popgym.concentration import Concentration
from icrl.envs.popgym.count_recall import CountRecall
from icrl.envs.popgym.higher_lower import HigherLower
from icrl.envs.popgym.mine_sweeper import MineSweeper
from icrl.envs.popgym.multiarmed_bandit import MultiarmedBandit
from icrl.envs.popgym.pendulum import StatelessPendulum
from icrl.envs.popgym.popgym_environment import PopgymEnvironment
from icrl.envs.popgym.repeat import RepeatFirst, RepeatPrevious

TASKS: dict[str, PopgymEnvironment] = {
    "stateless_cartpole_easy": StatelessCartPole(num_steps=200),
    "stateless_cartpole_medium": StatelessCartPole(num_steps=400),
    "stateless_cartpole_hard": StatelessCartPole(num_steps=600),
    "noisy_stateless_cartpole_easy": StatelessCartPole(noise=0.1),
    "noisy_stateless_cartpole_medium": StatelessCartPole(noise=0.2),
    "noisy_stateless_cartpole_hard": StatelessCartPole(noise=0.3),
    "stateless_pendulum_easy": StatelessPendulum(num_steps=200),
    "stateless_pendulum_medium": StatelessPendulum(num_steps=150),
    "stateless_pendulum_hard": StatelessPendulum(num_steps=100),
    "noisy_stateless_pendulum_easy": StatelessPendulum(noise=0.1),
    "noisy_stateless_pendulum_medium": StatelessPendulum(noise=0.2),
    "noisy_stateless_pendulum_hard": StatelessPendulum(noise=0.3),
    "repeat_previous_easy": RepeatPrevious(num_decks=1, k=4),
    "repeat_previous_medium": RepeatPrevious(num_decks=2, k=32),
    "repeat_previous_hard": RepeatPrevious(num_decks=3, k=64),
    "repeat_first_easy": RepeatFirst(num_decks=1),
    "repeat_first_medium": RepeatFirst(num_decks=8),
    "repeat_first_hard": RepeatFirst(num_decks=16),
    "autoencode_easy": Autoencode(num_decks=1),
    "autoencode_medium": Autoencode(num_decks=2),
    "autoencode_hard": Autoencode(num_decks=3),
    "battleship_easy": Battleship(size=8),
    "battleship_medium": Battleship(size=10),
    "battleship_hard": Battleship(size=12),
    "concentration_easy": Concentration(num_decks=1, face="color"),
    "concentration_medium": Concentration(num_decks=2, face="color"),
    "concentration_hard": Concentration(num_decks=1, face="rank"),
    "count_recall_easy": CountRecall(num_decks=1, face="color"),
    "count_recall_medium": CountRecall(num_decks=2, face="suit"),
    "count_recall_hard": CountRecall(num_decks=4, face="rank"),
    "higher_lower_easy": HigherLower(num_decks=1),
    "higher_lower_medium": HigherLower(num_decks=2),
    "higher_lower_hard": HigherLower(num_decks=3),
    "mine_sweeper_easy": MineSweeper(size=4, num_mines=2),
    "mine_sweeper_medium": MineSweeper(size=6, num_mines=6),
    "mine_sweeper_hard": MineSweeper(size=8, num_mines=10),
    "multiarmed_bandit_easy": MultiarmedBandit(num_arms=10, num_pulls=200),
    "multiarmed_bandit_medium": MultiarmedBandit(num_arms=20, num_pulls=400),
    "multiarmed_bandit_hard": MultiarmedBandit(num_arms=30, num_pulls=600),
}


def environments(tasks: Sequence[str]) -> tuple[PopgymEnvironment, ...]:
    """One environment per task: their programs differ."""
    return tuple(replace(TASKS[name], tasks=(name,)) for name in tasks)
