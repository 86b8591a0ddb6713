"""Drawing one state of an environment into a box of an image: a flat view of its parts, by Pillow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import atan2, cos, radians, sin

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from icrl.envs.picture import Part, Picture, Turn

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, pixels."""

PAPER = "#FFFFFF"
GOAL, FIXED = "#2CA02C", "#C3C9D1"
MARGIN = 0.06
"""Of a box, left free on every side."""
TRAIL = 7
"""Steps for which the way of the body's end is shown."""
ARROW = (-60, 200)
"""Degrees between which the arrow of a wanted turn goes round."""


def tint(colour: str, share: float) -> str:
    """A colour on paper, as if only so much of it covered: 0 is paper, 1 the colour."""
    mixed = (
        round(ink * share + paper * (1 - share))
        for ink, paper in zip(ImageColor.getrgb(colour), ImageColor.getrgb(PAPER), strict=True)
    )
    return "#{:02x}{:02x}{:02x}".format(*mixed)


@dataclass(frozen=True)
class View:
    """A flat view: along the axis in which a body moves least, upright where it moves up and down."""

    axes: tuple[int, int]
    """World axes to the right and up."""
    low: np.ndarray
    """``[2]`` m: the corner that is left and below."""
    high: np.ndarray
    """``[2]`` m"""

    @classmethod
    def of(cls, pictures: Iterable[Picture]) -> View | None:
        """The view in which all of them fit; None if nothing in them is drawn from parts."""
        parts = [part for picture in pictures for part in (*picture.parts, *picture.goal)]
        moving = [part for part in parts if not part.fixed]
        if not moving:
            return None
        extent = np.ptp(_bounds(moving), axis=0)
        axes = tuple(axis for axis in range(3) if axis != int(np.argmin(extent)))
        low, high = _bounds(parts)[:, axes]
        return cls((axes[0], axes[1]), low, high)

    def flat(self, points: np.ndarray, box: Box) -> tuple[np.ndarray, float]:
        """Points ``[n, 3]`` as pixels ``[n, 2]`` in a box, and pixels per metre."""
        size = np.array([box[2] - box[0], box[3] - box[1]])
        scale = float(((1 - 2 * MARGIN) * size / (self.high - self.low)).min())
        middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
        offset = (points[:, self.axes] - (self.low + self.high) / 2) * scale
        return middle + offset * [1, -1], scale

    def turns_left(self, axis: np.ndarray) -> bool:
        """Whether a right-handed turn around an axis is counter-clockwise here."""
        towards_the_eye = np.cross(*np.eye(3)[list(self.axes)])
        return float(axis @ towards_the_eye) > 0


def draw_state(
    draw: ImageDraw.ImageDraw, view: View, box: Box, pictures: Sequence[Picture], colour: str, width: int
) -> None:
    """Draws the last of the pictures, the goal behind the body, and the way of the body's end in those before.

    Args:
        draw: what is drawn on.
        view: of all pictures of an animation, so that it keeps still.
        box: where.
        pictures: of one trial, up to now.
        colour: of the body.
        width: of outlines, pixels.
    """
    now = pictures[-1]
    for part in now.parts:
        if part.fixed:
            _draw_part(draw, view, box, part, FIXED)
    for part in now.goal:
        _draw_part(draw, view, box, part, GOAL, grow=2 * width)
        _draw_part(draw, view, box, part, tint(GOAL, 0.25))
    for turn in now.turns:
        _draw_turn(draw, view, box, turn, width)
    ends = np.array([view.flat(_end(picture)[None], box)[0][0] for picture in pictures[-TRAIL:]])
    for age, way in zip(range(TRAIL - len(ends) + 1, TRAIL), _smooth(ends), strict=True):
        draw.line([*way.ravel()], fill=tint(colour, 0.08 + 0.5 * age / TRAIL), width=3 * width, joint="curve")
    for index, part in enumerate(part for part in now.parts if not part.fixed):
        _draw_part(draw, view, box, part, PAPER, grow=width)
        _draw_part(draw, view, box, part, tint(colour, (1.0, 0.72)[index % 2]))


def draw_image(canvas: Image.Image, box: Box, image: np.ndarray) -> None:
    """Pastes what a simulator's own renderer gave, as large as it fits."""
    picture = Image.fromarray(image)
    share = min((box[2] - box[0]) / picture.width, (box[3] - box[1]) / picture.height)
    picture = picture.resize((round(picture.width * share), round(picture.height * share)))
    left = (box[0] + box[2] - picture.width) / 2
    canvas.paste(picture, (round(left), round(box[1])))


def _bounds(parts: Sequence[Part]) -> np.ndarray:
    """``[2, 3]``: the corners of the box around them."""
    low = np.min([part.points.min(axis=0) - part.radius for part in parts], axis=0)
    high = np.max([part.points.max(axis=0) + part.radius for part in parts], axis=0)
    return np.stack([low, high])


def _end(picture: Picture) -> np.ndarray:
    """``[3]``: the free end of the last part that moves, the corner furthest from the part before."""
    moving = [part for part in picture.parts if not part.fixed]
    before = moving[-2].points.mean(axis=0) if len(moving) > 1 else np.zeros(3)
    return max(moving[-1].points, key=lambda point: float(np.linalg.norm(point - before)))


def _smooth(points: np.ndarray) -> list[np.ndarray]:
    """Curves ``[11, 2]`` from each of the points ``[n, 2]`` to the next (Catmull and Rom's)."""
    around = np.vstack([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, 11)[:, None]
    return [
        0.5 * (2 * b + t * (c - a) + t**2 * (2 * a - 5 * b + 4 * c - d) + t**3 * (3 * b - a - 3 * c + d))
        for a, b, c, d in zip(around, around[1:], around[2:], around[3:], strict=False)
    ]


def _draw_part(draw: ImageDraw.ImageDraw, view: View, box: Box, part: Part, colour: str, *, grow: float = 0.0) -> None:
    points, scale = view.flat(part.points, box)
    radius = max(part.radius * scale + grow, 1.0)
    outline = _hull(points)
    if len(outline) > 2:
        draw.polygon([tuple(point) for point in outline], fill=colour)
    for (x, y), (to_x, to_y) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        side = np.array([y - to_y, to_x - x])
        if length := float(np.hypot(*side)):
            dx, dy = side * radius / length
            corners = [(x + dx, y + dy), (to_x + dx, to_y + dy), (to_x - dx, to_y - dy), (x - dx, y - dy)]
            draw.polygon(corners, fill=colour)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _draw_turn(draw: ImageDraw.ImageDraw, view: View, box: Box, turn: Turn, width: int) -> None:
    """An arrow round the centre, three quarters of a circle."""
    [(x, y)], _ = view.flat(turn.centre[None], box)
    radius = 0.3 * min(box[2] - box[0], box[3] - box[1])
    left = view.turns_left(turn.axis)
    angles = np.radians(np.linspace(*ARROW, 60)) * (1 if left else -1) + (0 if left else radians(180))
    way = [(x + radius * cos(angle), y - radius * sin(angle)) for angle in angles]
    draw.line(way, fill=tint(GOAL, 0.75), width=4 * width, joint="curve")
    (from_x, from_y), (tip_x, tip_y) = way[-2], way[-1]
    heading = atan2(tip_y - from_y, tip_x - from_x)
    size = 11 * width
    sides = [heading + radians(turned) for turned in (0, 130, -130)]
    draw.polygon([(tip_x + size * cos(side), tip_y + size * sin(side)) for side in sides], fill=tint(GOAL, 0.75))


def _hull(points: np.ndarray) -> np.ndarray:
    """The corners of the convex hull of ``[n, 2]``, in order (Andrew's monotone chain)."""
    ordered = sorted(map(tuple, points.round(3).tolist()))
    if len(ordered) < 3:
        return np.array(ordered)

    def half(line: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        corners: list[tuple[float, float]] = []
        for point in line:
            while len(corners) > 1 and _turn(corners[-2], corners[-1], point) <= 0:
                corners.pop()
            corners.append(point)
        return corners[:-1]

    return np.array(half(ordered) + half(reversed(ordered)) or ordered[:1])


def _turn(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
