"""What the POPGym suite draws by itself: starts, decks, boards and noise are distributed as popgym's."""

import jax
import numpy as np
import pytest

from icrl.envs.popgym import TASKS
from icrl.envs.popgym.battleship import SHIP_SIZES
from icrl.types import PyTree
from tests.envs.popgym import original
from tests.quick import jit

NUM_DRAWS = 2000


def starts(task: str, number: int = NUM_DRAWS) -> tuple[PyTree, np.ndarray]:
    """States and observations of many trials' starts."""
    reset = jit(jax.vmap(lambda key: TASKS[task].reset((), key=key)))
    return jax.device_get(reset(jax.random.split(jax.random.key(0), number)))


@pytest.mark.parametrize(
    "task",
    ["repeat_previous_hard", "autoencode_medium", "higher_lower_easy", "count_recall_hard", "concentration_hard"],
)
def test_a_deck_holds_popgyms_cards_in_any_order(task: str):
    env = original.make(task)
    env.reset(seed=0)
    expected = original.hidden_state(env)
    state, _ = starts(task, 400)
    for drawn, faces in zip(state, expected, strict=True):
        if faces.ndim == 1 and faces.dtype != bool:
            np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.sort(faces), (400, 1)))
            # Every place is as likely to hold any card: of 400 draws, four standard errors of the mean.
            error = 4 * faces.std() / np.sqrt(400)
            np.testing.assert_allclose(drawn.mean(axis=0), faces.mean(), atol=1.2 * error)


def test_the_two_decks_of_count_recall_are_shuffled_apart():
    state, _ = starts("count_recall_easy", 50)
    assert abs(np.corrcoef(state.values.ravel(), state.queries.ravel())[0, 1]) < 0.1  # of 2600: standard error 0.02


@pytest.mark.parametrize("task", ["battleship_easy", "battleship_hard"])
def test_ships_are_placed_as_popgym_places_them(task: str):
    state, _ = starts(task)
    assert (state.ship.sum(axis=1) == sum(SHIP_SIZES)).all()  # none overlap
    env = original.make(task)
    boards = []
    for seed in range(NUM_DRAWS):
        env.reset(seed=seed)
        boards.append(env.board.ravel())
    difference = state.ship.mean(axis=0) - np.mean(boards, axis=0)
    share = np.mean(boards)
    assert np.abs(difference).max() < 5 * np.sqrt(2 * share * (1 - share) / NUM_DRAWS)


def test_mines_are_as_many_as_popgyms_and_lie_anywhere():
    state, _ = starts("mine_sweeper_medium")
    assert (state.mine.sum(axis=1) == 6).all()
    share = 6 / 36
    assert np.abs(state.mine.mean(axis=0) - share).max() < 5 * np.sqrt(share * (1 - share) / NUM_DRAWS)


def test_arms_pay_with_uniform_probabilities():
    state, _ = starts("multiarmed_bandit_easy")
    np.testing.assert_allclose(
        np.quantile(state.probability, [0, 0.25, 0.5, 0.75, 1]), [0, 0.25, 0.5, 0.75, 1], atol=0.02
    )


@pytest.mark.parametrize(
    ("task", "read", "limits"),
    [
        ("stateless_cartpole_easy", lambda state: state.motion, [0.05] * 4),
        ("stateless_pendulum_easy", lambda state: np.stack([state.angle, state.velocity], axis=-1), [np.pi, 1.0]),
    ],
)
def test_bodies_start_uniformly_within_popgyms_limits(task: str, read, limits: list[float]):
    state, _ = starts(task)
    quantiles = np.quantile(read(state) / limits, [0, 0.25, 0.5, 0.75, 1], axis=0)
    np.testing.assert_allclose(quantiles, np.tile([[-1], [-0.5], [0], [0.5], [1]], len(limits)), atol=0.08)


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_the_first_observation_is_as_noisy_as_popgyms(difficulty: str):
    std = {"easy": 0.1, "medium": 0.2, "hard": 0.3}[difficulty]
    state, observation = starts(f"noisy_stateless_cartpole_{difficulty}")
    position = observation[:, 0] - state.motion[:, 0]  # never near its limit of 4.8
    np.testing.assert_allclose([position.mean(), position.std()], [0, std], atol=0.05 * std + 0.01)
    assert np.abs(observation[:, 1]).max() <= 2 * np.radians(12) + 1e-6  # the angle is clipped
    _, observation = starts(f"noisy_stateless_pendulum_{difficulty}")
    assert np.abs(observation).max() == 1.0
