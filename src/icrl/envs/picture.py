"""What an environment shows a person: the body in its present state and the goal that the agent is not told.

Nothing here knows how it is drawn (see `icrl.render`), nor what simulates it. Whatever MuJoCo has a model of is taken
to pieces by `icrl.envs.mujoco_picture`; other environments name their few parts themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """A convex piece: all points within ``radius`` of the hull of ``points``."""

    points: np.ndarray
    """``[n, 3]``, m."""
    radius: float
    """m"""
    fixed: bool = False
    """Whether it belongs to the surroundings, which never move."""


class Turn(NamedTuple):
    """A wanted direction of turning."""

    centre: np.ndarray
    """``[3]``, m."""
    axis: np.ndarray
    """``[3]``: right-handed around it."""


@dataclass(frozen=True)
class Goal:
    """What earns reward, for people: the agent is told nothing of it."""

    words: str
    """Completes "rewarded for"."""
    pose: Mapping[int, float | None] = field(default_factory=dict)
    """Joint positions wanted, m or rad, by their index, None for what the episode draws; the others may be anything."""
    turn: int | None = None
    """A joint that is to turn, in its positive direction unless the episode draws the other."""
    backwards: bool = False
    """Whether it has drawn the other."""

    def drawn(self, value: float) -> "Goal":
        """The goal of an episode that has drawn this position, or velocity."""
        pose = {joint: value if wanted is None else wanted for joint, wanted in self.pose.items()}
        return replace(self, pose=pose, backwards=value < 0)


class Picture(NamedTuple):
    """One state of one environment."""

    parts: tuple[Part, ...] = ()
    goal: tuple[Part, ...] = ()
    """The body in the pose that is wanted, or a place to reach."""
    turns: tuple[Turn, ...] = ()
    image: np.ndarray | None = None
    """``[height, width, 3]`` uint8: the state as a simulator's own renderer shows it, instead of its parts."""
