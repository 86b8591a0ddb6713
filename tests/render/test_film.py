"""Films as files: their frames, how long each is shown, and how small they are."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icrl.render.film import FRAME_SECONDS, HOLD_SECONDS, save_film
from icrl.render.frames import BESIDE, FIRST, LAST, frames, panels_of
from icrl.render.playback import PlayedEpisode, PlayedTrial


def episode(*lengths: int, name: str = "S5") -> PlayedEpisode:
    """Trials of so many steps, each of which earns 1, of an environment that draws nothing."""
    trials = tuple(
        PlayedTrial(number, name, (None,) * steps, np.ones((steps, 5)), np.ones((steps, 2)), np.ones(steps))
        for number, steps in enumerate(lengths, start=1)
    )
    return PlayedEpisode("a_task", "doing nothing", "sign", 3, trials)


def test_a_gif_holds_every_frame_and_stays_on_the_last(tmp_path: Path):
    images = list(frames(episode(3, 4, 5)))
    assert len(images) == 5  # the first trial has ended by then, and keeps its last
    with Image.open(save_film(images, tmp_path / "film.gif")) as film:
        assert (film.n_frames, film.size) == (5, images[0].size)
        film.seek(3)
        assert film.info["duration"] == 1000 * FRAME_SECONDS
        film.seek(4)
        assert film.info["duration"] == 1000 * HOLD_SECONDS
        drawn, shown = np.asarray(images[-1], int), np.asarray(film.convert("RGB"), int)
    assert (shown[0, 0] == 255).all()
    assert np.abs(drawn - shown).mean() < 2


def test_of_long_trials_steps_are_left_out_but_not_the_last(monkeypatch: pytest.MonkeyPatch):
    assert [panel.title for panel in panels_of(episode(8), None)] == ["trial 1"]
    monkeypatch.setattr("icrl.render.frames.LONGEST", 4)
    assert len(list(frames(episode(8)))) == 5


def test_what_stands_side_by_side_is_told_apart():
    assert [(panel.title, panel.colour) for panel in panels_of(episode(1, 1, 1), None)] == [
        ("trial 1", FIRST),
        ("trial 3, remembering 1 to 2", LAST),
    ]
    assert [(panel.title, panel.colour) for panel in panels_of(episode(1, 1), episode(1, 1, name="MLP"))] == [
        ("S5, trial 1", FIRST),
        ("S5, trial 2", LAST),
        ("MLP, trial 2", BESIDE),
    ]


@pytest.mark.parametrize(("rung", "words"), [("sign", "the body's state, disguised  | "), ("", "the body's state  | ")])
def test_only_projected_numbers_are_called_disguised(rung: str, words: str, monkeypatch: pytest.MonkeyPatch):
    said = []
    monkeypatch.setattr("icrl.render.frames._text", lambda draw, place, text, *_, **__: said.append(text) or place[0])
    next(frames(replace(episode(1), rung=rung)))
    assert [text for text in said if text.startswith(words)]
    assert ("disguised" in " ".join(said)) == bool(rung)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_an_mp4_is_one(tmp_path: Path):
    path = save_film(list(frames(episode(2, 2))), tmp_path / "film.mp4")
    assert path.read_bytes()[4:8] == b"ftyp"
