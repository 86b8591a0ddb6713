"""`icrl render`: which episode it plays, and what it writes, on the stand-in; `tests/render` is on drawing."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from icrl.agent import Agent, load
from icrl.render.playback import play
from tests.commands.conftest import Finished
from tests.commands.runs import icrl


def test_it_writes_a_film_of_an_episode_that_both_agents_play(finished: Finished, tmp_path: Path):
    where = ("--beside", finished.path, "--out", tmp_path / "a" / "film.gif")
    done = icrl("render", finished.path, "--task", "cartpole_side", "--trials", "3", *where)
    assert done.exit_code == 0, done.stderr
    returns, others, path = done.stdout.splitlines()
    assert returns == others  # the same agent beside itself: the same projections, starts and actions
    name, _, numbers = returns.partition(", return by trial: ")
    assert (name, len(numbers.split())) == ("S5 on cartpole_side", 3)
    with Image.open(path) as film:
        assert film.n_frames == 4

    another = play(load(finished.path), "cartpole_side", name="S5", trials=3, episode=1)
    assert [f"{trial.returns[-1]:.2f}" for trial in another.trials] != numbers.split()
    assert [trial.observation.shape for trial in another.trials] == [(4, 5 + 1 + 2 + 1)] * 3
    assert another.trials[0].observation[0, 5:8].tolist() == [0, 1, 1]  # no reward yet, both starts


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--task", "cartpole_cente"), "--task: got 'cartpole_cente'; expected one of cartpole_centre"),
        (("--out", "film.avi"), "--out: got 'film.avi'; expected a name that ends with .gif or .mp4"),
        (("--out", "film.mp4"), "--out: got an .mp4, which needs ffmpeg"),
        (("--seed", "9"), "seed: got 9; expected one of"),
        (("--model", "gru"), "--model: got a value; expected none"),
        (("--beside", "nowhere/run"), "nowhere/run: got nothing there"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_played(
    finished: Finished, arguments: tuple[str, str], complaint: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    monkeypatch.setattr("icrl.commands.render.play", lambda *_, **__: pytest.fail("it was played"))
    done = icrl("render", finished.path, *arguments)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_an_agent_beside_must_play_the_same(finished: Finished, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("icrl.commands.render.play", lambda *_, **__: pytest.fail("it was played"))

    def load_with_shorter_trials(target: str, **options: object) -> Agent:
        agent = load(target)
        shorter = replace(agent.spec, environment=replace(agent.spec.environment, trial_steps=3))
        return agent if options else replace(agent, spec=shorter)

    monkeypatch.setattr("icrl.commands.render.load", load_with_shorter_trials)
    done = icrl("render", finished.path, "--beside", finished.path)
    assert done.exit_code == 2
    assert "which plays cartpole_centre otherwise; expected a run on the same environment" in done.stderr
