"""MMER: the best update of a run, for every seed by itself."""

import pytest

from icrl.report.mmer import max_mean_episodic_reward


def line(seed: int, update: int, **returns: float | None) -> dict:
    return {"seed": seed, "update": update} | {f"return/{name}": value for name, value in returns.items()}


def test_it_is_the_best_update_and_not_the_last():
    lines = [line(0, update, mean=mean) for update, mean in enumerate([-0.5, 0.25, 0.75, 0.5])]
    assert max_mean_episodic_reward(lines) == {0: 0.75}


def test_every_seed_has_its_own():
    lines = [line(3, 1, mean=-0.5), line(4, 1, mean=0.5), line(3, 2, mean=-0.25), line(4, 2, mean=0.0)]
    assert max_mean_episodic_reward(lines) == {3: -0.25, 4: 0.5}


@pytest.mark.parametrize("nothing", [{}, {"mean": None}])
def test_updates_in_which_no_episode_ended_do_not_count(nothing: dict[str, None]):
    lines = [line(0, 1, **nothing), line(0, 2, mean=-0.75), line(0, 3, **nothing), line(1, 3, **nothing)]
    assert max_mean_episodic_reward(lines) == {0: -0.75}


def test_returns_of_single_tasks_and_trials_are_not_mistaken_for_it():
    assert max_mean_episodic_reward([line(0, 1, last_trial=9.0, repeat_first_easy=9.0)]) == {}
