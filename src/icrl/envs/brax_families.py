"""Families of tasks of `icrl.envs.brax_suite`: every episode draws a goal and dynamics and shows neither.

Nothing observed tells them but motion and reward, so an agent has to find out in its first trial what pays, and can
use it in those that follow. Besides what each family says, an episode draws the motors' force, 0.7 to 1.3 times the
body's, and how fast velocities decay, by 0 to 0.5 per second more; all lengths, 0.8 to 1.2 times the file's (`ARM`,
`HANGS`); gravity, 0.8 to 1.2 times the earth's (`HANGS`); and the mass of the last link, 0.6 to 1.4 times the file's
(`HANGS`, `SLIDES`; the links of an arm are too light for it to matter).
"""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from icrl.envs.brax_tasks import (
    ANYWHERE,
    DOUBLE_OFF_CENTRE,
    HANGING,
    OFF_CENTRE,
    BraxTask,
    Range,
    at,
    at_speed,
    close,
    reaching,
    turning,
    wrapped,
)

AT_REST = ((-0.3, 0.3),)
IN_THE_MIDDLE = ((-0.2, 0.2), (-0.2, 0.2))

DRIVEN: Any = {"gear": (0.7, 1.3), "damping": (0.0, 0.5)}
ARM: Any = {**DRIVEN, "length": (0.8, 1.2)}
HANGS: Any = {**ARM, "gravity": (0.8, 1.2), "mass": (0.6, 1.4)}
SLIDES: Any = {**DRIVEN, "mass": (0.6, 1.4)}

FAMILIES = {
    "cartpole_place": BraxTask(
        "cartpole",
        "Starts hanging and off-centre; rewards the cart's closeness, within 0.6 m, to a place of its rail 0.2 to "
        "0.6 m to the left or right of the middle.",
        at(0, far=0.6),
        OFF_CENTRE,
        goal=(0.2, 0.6),
        way="either",
        **HANGS,
    ),
    "cartpole_turn": BraxTask(
        "cartpole",
        "Starts hanging; rewards the pole's angular velocity, up to one of 4 to 8 rad/s, in one of the two directions.",
        turning(1),
        HANGING,
        goal=(4.0, 8.0),
        way="either",
        **HANGS,
    ),
    "reacher_find": BraxTask(
        "reacher",
        "Starts in any pose; rewards closeness, within 0.3 m, to a place 0.1 to 0.2 m from the shoulder that is not "
        "shown.",
        reaching(0.3),
        ANYWHERE,
        goal=(0.1, 0.2),
        way="any",
        **ARM,
    ),
    "reacher_turn": BraxTask(
        "reacher",
        "Rewards the shoulder's angular velocity, up to one of 3 to 7 rad/s, in one of the two directions.",
        turning(0),
        ANYWHERE,
        goal=(3.0, 7.0),
        way="either",
        **ARM,
    ),
    "reacher_pose": BraxTask(
        "reacher",
        "Rewards the elbow's closeness, within 1.5 rad, to an angle of 0.8 to 2.4 rad one way or the other.",
        at(1, far=1.5),
        ANYWHERE,
        goal=(0.8, 2.4),
        way="either",
        **ARM,
    ),
    "pendulum_hold": BraxTask(
        "pendulum",
        "Starts hanging; rewards closeness, within 1.2 rad, to an angle of 0.6 to 2.2 rad from hanging, one way or the "
        "other.",
        lambda m, goal: close(jnp.abs(wrapped(m.q[0] - goal[0])), 1.2),
        AT_REST,
        goal=(0.6, 2.2),
        way="either",
        **HANGS,
    ),
    "pendulum_turn": BraxTask(
        "pendulum",
        "Starts hanging; rewards angular velocity, up to one of 3 to 7 rad/s, in one of the two directions.",
        turning(0),
        AT_REST,
        goal=(3.0, 7.0),
        way="either",
        **HANGS,
    ),
    "pendulum_cruise": BraxTask(
        "pendulum",
        "Starts hanging; rewards an angular velocity close, within 1.5 rad/s, to one of 2 to 4 rad/s one way or the "
        "other, neither slower nor faster.",
        at_speed(0, far=1.5),
        AT_REST,
        goal=(2.0, 4.0),
        way="either",
        **HANGS,
    ),
    "point_find": BraxTask(
        "point",
        "Starts in the middle of a plane; rewards closeness, within 0.9 m, to a place 0.3 to 0.8 m from the middle.",
        reaching(0.9),
        IN_THE_MIDDLE,
        goal=(0.3, 0.8),
        way="any",
        **SLIDES,
    ),
    "point_run": BraxTask(
        "point",
        "Starts in the middle of a plane; rewards velocity in one direction of all, up to one of 0.8 to 1.6 m/s.",
        lambda m, goal: jnp.clip(jnp.dot(m.qd, goal) / jnp.dot(goal, goal), 0.0, 1.0),
        IN_THE_MIDDLE,
        goal=(0.8, 1.6),
        way="any",
        **SLIDES,
    ),
    "point_circle": BraxTask(
        "point",
        "Starts in the middle of a plane; rewards circling around the middle, one way or the other, up to an area of "
        "0.2 to 0.4 m^2/s swept twice.",
        lambda m, goal: jnp.clip((m.q[0] * m.qd[1] - m.q[1] * m.qd[0]) / goal[0], 0.0, 1.0),
        IN_THE_MIDDLE,
        goal=(0.2, 0.4),
        way="either",
        **SLIDES,
    ),
    "double_pendulum_place": BraxTask(
        "double_pendulum",
        "cartpole_place on a body with two poles.",
        at(0, far=0.6),
        DOUBLE_OFF_CENTRE,
        goal=(0.2, 0.6),
        way="either",
        **HANGS,
    ),
    "arm_find": BraxTask(
        "arm",
        "reacher_find with an upper arm of 0.14 m and a lower one of 0.06 m.",
        reaching(0.3),
        ANYWHERE,
        goal=(0.1, 0.2),
        way="any",
        **ARM,
    ),
    "arm_turn": BraxTask(
        "arm",
        "reacher_turn with an upper arm of 0.14 m and a lower one of 0.06 m.",
        turning(0),
        ANYWHERE,
        goal=(3.0, 7.0),
        way="either",
        **ARM,
    ),
}


BEYOND: Any = {
    "gear": (1.35, 1.6),
    "damping": (0.6, 1.0),
    "length": (1.25, 1.4),
    "gravity": (1.25, 1.4),
    "mass": (1.45, 1.7),
}
"""Dynamics that no other family draws: a longer, heavier body, with a motor that can move it."""


def _beyond(family: str, goal: Range, words: str) -> BraxTask:
    """A family with goals from elsewhere, and `BEYOND` for the dynamics that it draws."""
    task = FAMILIES[family]
    drawn = {name: BEYOND[name] for name in BEYOND if len({*getattr(task, name)}) > 1}
    return replace(task, changes=f"{family} with {words}, and `BEYOND` for what its dynamics draw.", goal=goal, **drawn)


FAMILIES |= {
    "cartpole_place_beyond": _beyond("cartpole_place", (0.7, 0.9), "goals 0.7 to 0.9 m from the middle"),
    "reacher_find_beyond": _beyond("reacher_find", (0.22, 0.26), "goals 0.22 to 0.26 m from the shoulder"),
    "pendulum_turn_beyond": _beyond("pendulum_turn", (7.5, 9.0), "velocities up to one of 7.5 to 9 rad/s"),
    "point_find_beyond": _beyond("point_find", (0.85, 1.1), "goals 0.85 to 1.1 m from the middle"),
}
