import numpy as np
import pytest
from scipy.stats import trim_mean

from icrl.report.statistics import Interval, bootstrap, format_number, interquartile_mean


def per_seed(*means: float, num_episodes: int = 5) -> np.ndarray:
    """One trial whose return is the same in every episode of a seed, [seed, episode, 1]."""
    return np.tile(np.array(means)[:, None, None], (1, num_episodes, 1))


def test_the_interquartile_mean_ignores_both_outer_quarters():
    assert interquartile_mean(np.array([100.0, 3.0, 0.0, 4.0, 1.0, 5.0, 2.0, 6.0])) == (2 + 3 + 4 + 5) / 4


@pytest.mark.parametrize("size", range(1, 14))
def test_the_interquartile_mean_is_the_mean_trimmed_by_a_quarter(size: int):
    values = np.random.default_rng(size).normal(size=(3, size))
    np.testing.assert_allclose(interquartile_mean(values), trim_mean(values, 0.25, axis=-1), rtol=1e-12)


def test_the_estimate_is_the_mean_and_lies_in_its_interval():
    rng = np.random.default_rng(0)
    tasks = [rng.normal(loc, size=(3, 16, 4)) for loc in (0.0, 2.0)]
    for trial, interval in enumerate(bootstrap(tasks)):
        expected = np.mean([task[:, :, trial].mean() for task in tasks])
        assert interval.estimate == pytest.approx(expected, abs=1e-12)
        assert interval.low < interval.estimate < interval.high


def test_equal_arguments_give_equal_intervals_and_another_rng_seed_other_ones():
    scores = [np.random.default_rng(1).normal(size=(3, 8, 2))]
    assert bootstrap(scores) == bootstrap(scores)
    assert bootstrap(scores) != bootstrap(scores, rng_seed=1)


def test_seeds_are_resampled():
    # Two seeds at 0 and 1: a resample's mean is 0, 1/2 or 1 with probability 1/4, 1/2 and 1/4.
    [interval] = bootstrap([per_seed(0.0, 1.0)])
    assert (interval.low, interval.estimate, interval.high) == (0.0, 0.5, 1.0)
    [interval] = bootstrap([per_seed(0.0, 1.0)], level=0.4)
    assert (interval.low, interval.high) == (0.5, 0.5)


def test_a_drawn_seed_counts_on_every_task():
    # What a seed wins on one task it loses on the other, so that no draw of seeds changes the mean.
    [interval] = bootstrap([per_seed(0.0, 1.0), per_seed(1.0, 0.0)])
    assert (interval.low, interval.high) == (0.5, 0.5)


def test_episodes_are_resampled_within_a_seed():
    # 100 fair coins: the mean has standard error 0.05.
    coins = np.tile([0.0, 1.0], 50).reshape(1, 100, 1)
    [interval] = bootstrap([coins])
    assert interval.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.015)
    assert interval.high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.015)


def test_episodes_of_two_tasks_are_resampled_independently():
    coins = np.tile([0.0, 1.0], 50).reshape(1, 100, 1)
    [interval] = bootstrap([coins, 1.0 - coins])
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.05 / np.sqrt(2), abs=0.02)


def test_the_trials_of_an_episode_are_drawn_together():
    first = np.random.default_rng(2).normal(size=(3, 8, 1))
    one, same, opposite = bootstrap([np.concatenate([first, first, -first], axis=-1)])
    assert one == same
    assert (opposite.low, opposite.high) == pytest.approx((-one.high, -one.low))


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        agents = rng.normal(size=(10, 1, 1))
        tasks = [agents + rng.normal(size=(10, 16, 1)) for _ in range(3)]
        [interval] = bootstrap(tasks, num_resamples=400, rng_seed=4)
        hits += interval.low <= 0.0 <= interval.high
    assert 0.85 <= hits / 200 <= 0.99


def test_an_aggregate_is_taken_over_seeds_and_tasks_together():
    tasks = [per_seed(0.0, 1.0), per_seed(2.0, 90.0)]
    [interval] = bootstrap(tasks, aggregate=interquartile_mean)
    assert interval.estimate == (1.0 + 2.0) / 2


def test_an_interval_is_above_another_only_without_overlap():
    low, high = Interval(0.2, 0.1, 0.3), Interval(0.5, 0.31, 0.6)
    assert high.is_above(low)
    assert not low.is_above(high)
    assert not Interval(0.5, 0.3, 0.6).is_above(low)


def test_an_interval_is_written_with_its_brackets():
    assert Interval(0.618, -0.001, 0.699).format() == "0.62 [0.00, 0.70]"
    assert Interval(-12.34, -15.0, 1234.56).format(digits=1) == "-12.3 [-15.0, 1,234.6]"


@pytest.mark.parametrize(("number", "digits", "text"), [(-0.004, 2, "0.00"), (25123.4, 0, "25,123"), (-1.5, 1, "-1.5")])
def test_numbers_are_fixed_point_in_groups_of_three(number: float, digits: int, text: str):
    assert format_number(number, digits) == text
