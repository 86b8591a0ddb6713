"""The tasks of `icrl.envs.brax_suite`: what each rewards, and what each of its episodes draws anew.

A task states ranges from which every episode draws what pays (`BraxTask.goal`) and the dynamics. Where they are wide
it is a family (`icrl.envs.brax_families`); where each is one value, as for `POINTS`, it is a point of one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from icrl.envs.brax_bodies import Motion

Range = tuple[float, float]
"""Lowest and highest value of what an episode draws, uniformly."""

Way = Literal["forward", "either", "any"]
WAYS: tuple[Way, ...] = get_args(Way)

Reward = Callable[[Motion, jax.Array], jax.Array]
"""Reward per step, in [0, 1], of the motion and the goal ``[2]`` that the episode has drawn."""


def near(distance: jax.Array, margin: float) -> jax.Array:
    """1 at distance 0, 0.1 at ``margin``, Gaussian in between (the Control Suite's ``tolerance``)."""
    return jnp.power(0.1, jnp.square(distance / margin))


def close(distance: jax.Array, far: float) -> jax.Array:
    """1 at distance 0, falling linearly to 0 at ``far``: wherever it is, the agent can tell better from worse."""
    return jnp.clip(1 - distance / far, 0.0, 1.0)


def wrapped(angle: jax.Array) -> jax.Array:
    """The same angle within a half turn of 0, rad."""
    return jnp.arctan2(jnp.sin(angle), jnp.cos(angle))


def to_goal(motion: Motion, goal: jax.Array) -> jax.Array:
    """Distance of the last link's free end from the goal, in the plane of motion, m."""
    return jnp.linalg.norm(motion.tip[:2] - goal)


def standing(motion: Motion, goal: jax.Array) -> jax.Array:
    """1 with the cart's pole up, falling linearly to 0 where it leans by 0.8 rad."""
    del goal
    return close(jnp.abs(wrapped(motion.q[1])), 0.8)


def at(joint: int, far: float) -> Reward:
    """1 with a joint at the goal, falling linearly to 0 at ``far``, m or rad, from it."""
    return lambda m, goal: close(jnp.abs(m.q[joint] - goal[0]), far)


def turning(joint: int) -> Reward:
    """0 at rest or moving the other way, 1 from the goal's velocity on, in its direction."""
    return lambda m, goal: jnp.clip(m.qd[joint] / goal[0], 0.0, 1.0)


def at_speed(joint: int, far: float) -> Reward:
    """1 at the goal's velocity, falling linearly to 0 at ``far`` from it, rad/s."""
    return lambda m, goal: close(jnp.abs(m.qd[joint] - goal[0]), far)


def reaching(far: float) -> Reward:
    """1 with the free end at the goal, falling linearly to 0 at ``far`` from it, m."""
    return lambda m, goal: close(to_goal(m, goal), far)


@dataclass(frozen=True)
class BraxTask:
    """A task: a body, a reward, a start, and what its episodes draw."""

    body: str
    changes: str
    """What it changes in Brax's environment of that body, or what it is, in a sentence or two."""
    reward: Reward
    start: tuple[Range, ...]
    """Range of each joint position at a trial's start, m or rad; velocities start within +-0.05."""
    goal: Range = (0.0, 0.0)
    """How far from zero the goal lies, in the units of what the reward compares with it."""
    way: Way = "forward"
    """Where it lies: at the positive coordinate, at the positive or the negative one with even odds, or anywhere
    around, drawn from the ring in the plane evenly by area."""
    shown: bool = False
    """Whether the goal is observed, on a body that observes a target."""
    gravity: Range = (1.0, 1.0)
    """Gravity, as a multiple of the earth's."""
    mass: Range = (1.0, 1.0)
    """Mass of the last link, as a multiple of the file's (its inertia stays)."""
    length: Range = (1.0, 1.0)
    """Length of all links, as a multiple of the file's (their masses stay)."""
    gear: Range = (1.0, 1.0)
    """Force, or torque, of the motors, as a multiple of the body's."""
    damping: Range = (0.0, 0.0)
    """Rate at which all velocities of links decay, beside what the body has of it, 1/s."""


PI = 3.1416
HANGING = ((-0.3, 0.3), (PI - 0.2, PI + 0.2))
OFF_CENTRE = ((-0.9, 0.9), (PI - 0.2, PI + 0.2))
TILTED = ((-0.3, 0.3), (-0.3, 0.3))
ANYWHERE = ((-PI, PI), (-2.5, 2.5))
DOUBLE_OFF_CENTRE = (*OFF_CENTRE, (-0.2, 0.2))

HEAVY: Any = {"gravity": (1.3, 1.3), "mass": (2.0, 2.0)}

POINTS = {
    "cartpole_balance": BraxTask(
        "cartpole",
        "Starts tilted by up to 0.3 rad; rewards the pole's closeness to upright, within 0.8 rad; it may fall.",
        standing,
        TILTED,
    ),
    "cartpole_centre": BraxTask(
        "cartpole",
        "Starts hanging and off-centre; rewards the cart's closeness to the middle of its rail, not the pole.",
        at(0, far=0.6),
        OFF_CENTRE,
    ),
    "cartpole_spin": BraxTask(
        "cartpole",
        "Starts hanging; rewards the pole's angular velocity, up to 6 rad/s, in the positive direction.",
        turning(1),
        HANGING,
        goal=(6.0, 6.0),
    ),
    "reacher_easy": BraxTask(
        "reacher",
        "Starts in any pose; the target stays for the episode; rewards closeness within 0.3 m, not -distance.",
        reaching(0.3),
        ANYWHERE,
        goal=(0.0, 0.2),
        way="any",
        shown=True,
    ),
    "reacher_spin": BraxTask(
        "reacher",
        "No target; rewards the shoulder's angular velocity, up to 5 rad/s, in the positive direction.",
        turning(0),
        ANYWHERE,
        goal=(5.0, 5.0),
    ),
    "reacher_fold": BraxTask(
        "reacher",
        "No target; rewards the elbow's closeness to 2 rad, so the arm is to be folded one way.",
        at(1, far=2.0),
        ANYWHERE,
        goal=(2.0, 2.0),
    ),
    "cartpole_swingup": BraxTask(
        "cartpole",
        "Starts hanging; rewards the pole's height with the cart centred.",
        lambda m, goal: 0.5 * (1 + jnp.cos(m.q[1])) * near(m.q[0], 1.0),
        HANGING,
    ),
    "cartpole_side": BraxTask(
        "cartpole",
        "cartpole_centre with its goal 0.5 m to the right of the middle; nothing observed tells so.",
        at(0, far=0.6),
        OFF_CENTRE,
        goal=(0.5, 0.5),
    ),
    "cartpole_spin_heavy": BraxTask(
        "cartpole",
        "cartpole_spin with a pole of twice the mass and gravity 1.3 times the earth's.",
        turning(1),
        HANGING,
        goal=(6.0, 6.0),
        **HEAVY,
    ),
    "cartpole_balance_heavy": BraxTask(
        "cartpole",
        "cartpole_balance with a pole of twice the mass and gravity 1.3 times the earth's.",
        standing,
        TILTED,
        **HEAVY,
    ),
    "reacher_hard": BraxTask(
        "reacher",
        "reacher_easy with a sharper reward: a tenth of it is left 0.1 m from the target.",
        lambda m, goal: near(to_goal(m, goal), 0.1),
        ANYWHERE,
        goal=(0.0, 0.2),
        way="any",
        shown=True,
    ),
    "reacher_cruise": BraxTask(
        "reacher",
        "No target; rewards a shoulder velocity close to 2 rad/s, neither slower nor faster.",
        at_speed(0, far=2.0),
        ANYWHERE,
        goal=(2.0, 2.0),
    ),
    "double_pendulum_centre": BraxTask(
        "double_pendulum",
        "cartpole_centre on a body with two poles: starts hanging and off-centre, rewards the cart's closeness only.",
        at(0, far=0.6),
        DOUBLE_OFF_CENTRE,
    ),
    "double_pendulum_swingup": BraxTask(
        "double_pendulum",
        "Starts hanging; rewards the tip's height; falling does not end it.",
        lambda m, goal: jnp.clip(0.5 + m.tip[2] / 2.4, 0.0, 1.0),
        (*HANGING, (-0.2, 0.2)),
    ),
}
"""Tasks that draw nothing but a target that they show."""
