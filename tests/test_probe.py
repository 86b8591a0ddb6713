"""The linear probe: against regressions written out, on what can be read, on what cannot, and as an agent plays."""

from functools import partial

import numpy as np
import pytest

from icrl.probe import MOST_STEPS, PENALTIES, Watched, choose_steps, predict_apart, read, ridge

T, B, H = 3, 120, 5
EVERYONE = np.ones(B, bool)
TASK = np.arange(B) % 2
"""Two tasks, row by row."""


def by_hand(x: np.ndarray, y: np.ndarray, new: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression with an intercept, by its normal equations."""
    mean = x.mean(axis=0)
    weights = np.linalg.solve((x - mean).T @ (x - mean) + penalty * np.eye(H), (x - mean).T @ (y - y.mean(axis=0)))
    return y.mean(axis=0) + (new - mean) @ weights


@pytest.mark.parametrize("noise", [0.01, 1.0, 10.0])
def test_the_regression_is_the_one_whose_penalty_predicts_rows_left_out_best(noise: float):
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(20, H)), rng.normal(size=(7, H)) * 3 + 1
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = x[:, :2] + noise * rng.normal(size=(20, 2))

    def error(column: int, penalty: float) -> float:
        others = ~np.eye(20, dtype=bool)
        left = [y[row] - by_hand(x[others[row]], y[others[row]], x[row], penalty) for row in range(20)]
        return float(np.sum(np.square(left)[:, column]))

    for column in range(2):
        best = min(20 * PENALTIES, key=partial(error, column))
        expected = by_hand(x * 3 + 1, y, new, best * 9)[:, column]
        np.testing.assert_allclose(ridge(x * 3 + 1, y, new)[:, column], expected, rtol=1e-6)


def test_no_row_is_predicted_from_itself():
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(B, B)), rng.normal(size=(B, 1))  # as many features as rows: each could be learned by heart
    assert np.corrcoef(predict_apart(x, y, TASK)[:, 0], y[:, 0])[0, 1] < 0.3


def watched(features: np.ndarray, **drawn: np.ndarray) -> Watched:
    return Watched(features, np.ones((T, B), bool), [(np.arange(B), drawn)])


def test_what_is_linear_in_the_features_is_read_and_what_is_not_there_is_not():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(T, B, H))
    features[1, :, 0] += 6 * TASK
    told, hidden = features[2] @ rng.normal(size=(H, 4)), rng.normal(size=(B, 1))
    found = read(watched(features, told=told, hidden=hidden), range(T), EVERYONE, TASK)
    assert found.keys() == {"task", "told", "hidden"}
    np.testing.assert_allclose(found["task"], [0.5, 1.0, 0.5], atol=0.15)
    np.testing.assert_allclose(found["told"], [0, 0, 1], atol=0.1)
    np.testing.assert_allclose(found["hidden"], 0, atol=0.15)


def test_what_a_task_alone_tells_is_not_read_as_if_it_were_drawn():
    features = np.random.default_rng(2).normal(size=(T, B, H))
    features[..., 0] = TASK
    of_task = TASK[:, None] * 3.0
    noise = np.random.default_rng(3).normal(size=(B, 1))
    found = read(watched(features, mass=of_task, goal=of_task + noise), range(T), EVERYONE, TASK)
    assert found.keys() == {"task", "goal"}  # a mass that is the task's own says nothing about its episodes
    assert np.all(found["goal"] < 0.1)


def test_units_do_not_matter_and_numbers_that_never_vary_do_not_count():
    rng = np.random.default_rng(4)
    features, told = rng.normal(size=(T, B, H)), rng.normal(size=(B, 1))
    features[..., 1], features[..., 2] = told[:, 0], 0
    metres = np.concatenate([told, 0 * told + 7, rng.normal(size=(B, 1))], axis=1)
    found = [read(watched(features, it=unit * metres), [0], EVERYONE, TASK)["it"] for unit in (1, 1000)]
    np.testing.assert_allclose(found[0], 0.5, atol=0.1)  # one of the two that vary
    np.testing.assert_allclose(found[0], found[1])


def test_only_the_rows_asked_for_and_still_playing_are_read():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(T, B, H))
    told = features[0, :, :1].copy()
    left_out = np.arange(B) >= B // 2
    told[left_out] = rng.normal(size=(B // 2, 1))
    assert read(watched(features, it=told), [0], ~left_out, TASK)["it"] > 0.95
    assert read(watched(features, it=told), [0], EVERYONE, TASK)["it"] < 0.8
    still = watched(features, it=told)._replace(playing=np.tile(~left_out, (T, 1)))
    assert read(still, [0], EVERYONE, TASK)["it"] > 0.95


def test_a_quantity_of_several_bodies_is_the_mean_over_its_numbers():
    rng = np.random.default_rng(6)
    features = rng.normal(size=(T, B, H))
    rows = np.split(np.arange(B), 2)
    drawn = [(rows[0], {"it": features[0, rows[0], :1]}), (rows[1], {"it": rng.normal(size=(B // 2, 3))})]
    found = read(Watched(features, np.ones((T, B), bool), drawn), [0], EVERYONE, TASK)["it"]
    np.testing.assert_allclose(found, 0.25, atol=0.1)


@pytest.mark.parametrize(("length", "expected"), [(5, [0, 1, 2, 3, 4]), (320, [0, 10, 20, 319])])
def test_steps_are_even_over_what_half_of_every_tasks_episodes_last(length: int, expected: list[int]):
    playing = np.ones((400, 8), bool)
    playing[length:, [0, 2, 4]] = False  # three of four episodes of one task are over
    steps = choose_steps([np.ones((400, 8), bool), playing], np.arange(8) % 2)
    assert len(steps) == min(length, MOST_STEPS)
    assert steps[0] == expected[0] and steps[-1] == expected[-1] and set(expected) <= set(steps)
