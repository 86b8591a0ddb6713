"""`icrl render`: which episode it plays, and what it writes, on the stand-in; `tests/render` is on drawing."""

import shutil
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import pytest
from PIL import Image

from icrl.agent import Agent, load
from icrl.render.playback import play
from tests.commands.conftest import Finished
from tests.commands.runs import TINY, icrl


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


def test_the_changes_that_an_agent_sees_are_of_what_is_shown(finished: Finished, monkeypatch: pytest.MonkeyPatch):
    agent = load(finished.path)
    changes = replace(agent.spec.environment, observe_previous=True)
    monkeypatch.setattr(Agent, "act", lambda self, memory, *_, **__: (memory, jnp.zeros((1, 1))))
    played = play(replace(agent, spec=replace(agent.spec, environment=changes)), "cartpole_side", name="S5")
    assert played.shown_size == 2 * 5
    assert played.trials[0].observation.shape == (4, 2 * 5 + 1 + 2 + 1)


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


@pytest.mark.parametrize("spec", ["meta_brax.yaml", "tiny.yaml"])
def test_a_model_beside_is_of_the_same_spec_shipped_or_not(
    spec: str, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(TINY, spec)  # hides a shipped one of its name
    loaded = []
    agent = load(finished.path)
    agent = replace(agent, spec=replace(agent.spec, name=Path(spec).stem))
    monkeypatch.setattr(
        "icrl.commands.render.load", lambda target, **options: loaded.append((target, options)) or agent
    )
    assert icrl("render", spec, "--seed", "0", "--beside", "mlp", "--out", "film.gif").exit_code == 0
    assert loaded[1] == (spec, {"model": "mlp", "seed": 0, "scale": "cpu", "point": None})


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
