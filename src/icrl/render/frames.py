"""The frames of an animation: the first trial beside the last, what the agent sees and does, and the return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from icrl.render.playback import PlayedEpisode, PlayedTrial
from icrl.render.scene import GOAL, PAPER, Box, View, draw_image, draw_state, tint

WIDTH, HEIGHT = 880, 590
SHARP = 2
"""Times as large as everything is drawn, before it is made small and smooth."""
INK, PALE, LINE = "#24292F", "#6E7781", "#D8DEE4"
FIRST, LAST, BESIDE, BETWEEN = "#D55E00", "#0072B2", "#707070", "#C9D3DD"
"""The colours of the first trial, the last, another agent's, and the trials between (Okabe and Ito)."""
POSITIVE, NEGATIVE = "#6A3D9A", "#C98A1B"
"""Of numbers that the agent sees and sends."""
LONGEST = 150
"""Most frames of a trial; of longer trials steps are left out."""

GUTTER, TOP, BODY, CELLS, CHART = 20, 74, 266, 58, 130
"""Heights and distances, pixels: between panels, of the title, the body, the numbers and the curves."""


@dataclass(frozen=True)
class Panel:
    """A trial and how it is marked."""

    trial: PlayedTrial
    title: str
    colour: str


def panels_of(episode: PlayedEpisode, beside: PlayedEpisode | None) -> list[Panel]:
    """The first trial, the last and, where another agent played too, its last."""
    first, last = episode.trials[0], episode.trials[-1]
    if beside:
        panels = [(first, FIRST), (last, LAST), (beside.trials[-1], BESIDE)]
        panels = [Panel(trial, f"{trial.agent}, trial {trial.number}", colour) for trial, colour in panels]
        return panels[1:] if first is last else panels
    if first is last:
        return [Panel(last, f"trial {last.number}", LAST)]
    before = "1" if last.number == 2 else f"1 to {last.number - 1}"
    return [
        Panel(first, f"trial {first.number}", FIRST),
        Panel(last, f"trial {last.number}, remembering {before}", LAST),
    ]


def frames(episode: PlayedEpisode, beside: PlayedEpisode | None = None) -> Iterator[Image.Image]:
    """One image a step, of all panels at once; a trial that has ended keeps its last."""
    panels = panels_of(episode, beside)
    pictures = [picture for panel in panels for picture in panel.trial.pictures if picture is not None]
    view = View.of(pictures)
    longest = max(len(panel.trial.reward) for panel in panels)
    stride = ceil(longest / LONGEST)
    for step in sorted({*range(0, longest, stride), longest - 1}):
        yield _frame(episode, panels, view, step)


def _frame(episode: PlayedEpisode, panels: Sequence[Panel], view: View | None, step: int) -> Image.Image:
    canvas = Image.new("RGB", (WIDTH * SHARP, HEIGHT * SHARP), PAPER)
    draw = ImageDraw.Draw(canvas)
    _draw_title(draw, episode)
    width = (WIDTH - GUTTER * (len(panels) + 1)) / len(panels)
    for index, panel in enumerate(panels):
        left = GUTTER + index * (width + GUTTER)
        now = min(step, len(panel.trial.reward) - 1)
        _draw_panel(canvas, draw, panel, view, (left, TOP, left + width, TOP + BODY), now)
        numbers = (left, TOP + BODY + 6, left + width, TOP + BODY + 6 + CELLS)
        _draw_numbers(draw, episode, panel.trial, numbers, now)
    top = TOP + BODY + CELLS + 34
    _draw_curves(draw, episode, panels, (GUTTER + 34, top, WIDTH - 140, top + CHART), step)
    return canvas.reduce(SHARP)


def _draw_title(draw: ImageDraw.ImageDraw, episode: PlayedEpisode) -> None:
    count = len(episode.trials)
    trials = f"{count} trials" if count > 1 else "One trial"
    _text(draw, (GUTTER, 12), f"{trials} of one task: only the agent's memory changes", 19, INK, bold=True)
    _text(draw, (WIDTH - GUTTER, 17), episode.task, 13, PALE, anchor="ra")
    hidden = "its numbers are disguised by a projection that it has not met" if episode.rung else ""
    if not episode.words:
        _text(draw, (GUTTER, 42), hidden.capitalize(), 13, PALE)
        return
    right = _text(draw, (GUTTER, 42), f"Rewarded for {episode.words}.", 13, GOAL)
    _text(draw, (right + 6, 42), f"It is not told so{f', and {hidden}' if hidden else ''}.", 13, PALE)


def _draw_panel(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, panel: Panel, view: View | None, box: Box, step: int
) -> None:
    left, top, right, bottom = box
    draw.rounded_rectangle(_sharp(box), radius=8 * SHARP, fill=PAPER, outline=LINE, width=SHARP)
    trial, pictures = panel.trial, [picture for picture in panel.trial.pictures[: step + 1] if picture is not None]
    inner = _sharp((left + 4, top + 34, right - 4, bottom - 4))
    if pictures and pictures[-1].image is not None:
        draw_image(canvas, inner, pictures[-1].image)
    elif pictures and view:
        draw_state(draw, view, inner, pictures, panel.colour, SHARP)
    else:
        _text(draw, ((left + right) / 2, (top + bottom) / 2), "nothing to draw but its numbers", 13, PALE, anchor="mm")
    _text(draw, (left + 12, top + 8), panel.title, 16, panel.colour, bold=True)
    _text(
        draw, (right - 12, top + 8), f"return {_short(trial.returns[step])}", 16, panel.colour, bold=True, anchor="ra"
    )


def _draw_numbers(draw: ImageDraw.ImageDraw, episode: PlayedEpisode, trial: PlayedTrial, box: Box, step: int) -> None:
    """What the agent sees, the environment's numbers apart from reward, flags and action; and what it does."""
    left, top, right, _ = box
    seen = trial.observation[step]
    size = min(18.0, (right - left - 52) / (len(seen) + 1))

    def write(y: float, name: str, *groups: np.ndarray) -> float:
        _text(draw, (left + 2, y + 4), name, 12, PALE)
        x = left + 40
        for group in groups:
            for value in group:
                colour = tint(POSITIVE if value > 0 else NEGATIVE, min(abs(float(value)) / 2, 1.0))
                draw.rectangle(_sharp((x, y, x + size - 2, y + 20)), fill=colour, outline=LINE, width=SHARP)
                x += size
            x += 8
        return x

    write(top, "sees", seen[: episode.shown_size], seen[episode.shown_size :])
    if right - write(top + 28, "does", trial.action[step]) > 320:
        state = "the body's state, disguised" if episode.rung else "the body's state"
        legend = f"{state}  |  what came of its last action"
        _text(draw, (right - 2, top + 32), legend, 11, PALE, anchor="ra")


def _draw_curves(
    draw: ImageDraw.ImageDraw, episode: PlayedEpisode, panels: Sequence[Panel], box: Box, step: int
) -> None:
    """Return so far, by step of the trial."""
    left, top, right, bottom = box
    shown = {id(panel.trial) for panel in panels}
    between = [Panel(t, f"trial {t.number}", BETWEEN) for t in episode.trials if id(t) not in shown]
    curves = [*between, *panels]
    longest = max(len(panel.trial.reward) for panel in curves)
    values = np.concatenate([[0.0], *(panel.trial.returns for panel in curves)])
    low, high = float(values.min()), max(float(values.max()), float(values.min()) + 1e-6)

    def place(at: int, value: float) -> tuple[float, float]:
        x = left + (right - left) * at / max(longest, 1)
        return x * SHARP, (bottom - (bottom - top) * (value - low) / (high - low)) * SHARP

    between_the_ends = min(high, -low) * (bottom - top) > 14 * (high - low)
    for value in (low, 0.0, high) if between_the_ends else (low, high):
        draw.line([place(0, value), place(longest, value)], fill=LINE, width=SHARP)
        _text(draw, (left - 8, place(0, value)[1] / SHARP), f"{value:.3g}", 12, PALE, anchor="rm")
    _text(draw, (GUTTER, top - 20), "return so far", 12, PALE)
    _text(draw, (right, bottom + 6), f"step {min(step + 1, longest)} of {longest}", 12, PALE, anchor="ra")
    ends = []
    for panel in curves:
        now = min(step + 1, len(panel.trial.reward))
        line = [place(0, 0.0), *(place(at + 1, panel.trial.returns[at]) for at in range(now))]
        draw.line(line, fill=panel.colour, width=(2 if panel in between else 4) * SHARP, joint="curve")
        ends.append((line[-1][1] / SHARP, line[-1][0] / SHARP, panel, panel.trial.returns[now - 1]))
    lowest = bottom + 14.0
    for y, x, panel, value in sorted(ends, key=lambda end: -end[0]):
        y = lowest = min(y, lowest - 15)
        words = f"{panel.title.partition(', remem')[0]}: {_short(value)}"
        colour = PALE if panel in between else panel.colour
        _text(draw, (x + 8, y), words, 12, colour, bold=panel not in between, anchor="lm")


def _short(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _text(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    colour: str,
    *,
    bold: bool = False,
    anchor: str = "la",
) -> float:
    """Writes a line and gives where it ends on the right."""
    font = _font(size * SHARP, bold)
    draw.text((place[0] * SHARP, place[1] * SHARP), text, colour, font, anchor)
    return place[0] + font.getlength(text) / SHARP


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """The typeface that comes with Matplotlib."""
    properties = font_manager.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return ImageFont.truetype(font_manager.findfont(properties), size)


def _sharp(box: Box) -> Box:
    left, top, right, bottom = (edge * SHARP for edge in box)
    return left, top, right, bottom
