"""Small meta-RL tasks on the bodies of Brax (github.com/google/brax, Apache-2.0), on its ``spring`` physics.

Brax ships few environments small enough for a laptop, so tasks are derived from their bodies: another reward, start,
target, direction, difficulty or dynamics. `TASKS` lists them, each with what it changes. Common to all, and unlike
Brax's own environments: rewards lie in [0, 1] per step (the convention of the DeepMind Control Suite,
arXiv 1801.00690), so tasks of different kinds weigh alike; no task terminates; angles are observed as sine and cosine
and velocities in units of the body's typical one, so every observation is of unit size; a control step is 0.04 s.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.base import System, Transform
from brax.io import mjcf
from brax.spring import pipeline
from etils import epath

from icrl.envs.brax_goals import GOALS
from icrl.envs.environment import Environment, group_by_body
from icrl.envs.mujoco_picture import mujoco_picture
from icrl.envs.picture import Part, Picture
from icrl.envs.spaces import Continuous
from icrl.types import Key, Transition

CONTROL_SECONDS = 0.04
"""Length of a control step: twice Brax's, so that a laptop's trials last longer."""


class Motion(NamedTuple):
    """What rewards and observations are computed from."""

    q: jax.Array  # joint positions, m or rad
    qd: jax.Array  # joint velocities, m/s or rad/s
    tip: jax.Array  # [3] position of the last link's free end, m
    target: jax.Array  # [2] target in the plane of motion, m; zero where a task has none


@dataclass(frozen=True)
class Body:
    """One of Brax's bodies, with the edits made to its MuJoCo file."""

    asset: str
    edits: tuple[tuple[str, str], ...]
    """Regular expressions and their replacements, applied in order to the file's text; each must match."""
    gear: tuple[float, ...] | None
    """Actuator gears, where Brax's environment overrides the file's for this backend."""
    tip: tuple[float, float, float]
    """The free end, in the last link's frame, m."""
    angles: tuple[int, ...]
    """Indices of q that are angles."""
    velocity_scale: tuple[float, ...]
    """Typical joint velocities, m/s or rad/s: what observed velocities are divided by."""
    substeps: int = 8
    """Integration steps per control step; 8 makes them as long as Brax's own on this backend, 0.005 s."""
    target_scale: float | None = None
    """Where a target is observed: the length that its coordinates are divided by, m."""

    @property
    def observation_size(self) -> int:
        """Positions (two per angle), velocities, and target and tip-to-target vectors where there is a target."""
        targets = 0 if self.target_scale is None else 4
        return 2 * len(self.velocity_scale) + len(self.angles) + targets

    def observe(self, motion: Motion) -> jax.Array:
        """The observation ``[O]``."""
        positions = jnp.array([i for i in range(len(self.velocity_scale)) if i not in self.angles], int)
        angles = motion.q[jnp.array(self.angles)]
        parts = [
            motion.q[positions],
            jnp.cos(angles),
            jnp.sin(angles),
            motion.qd / jnp.array(self.velocity_scale),
        ]
        if self.target_scale is not None:
            offset = motion.tip[:2] - motion.target
            parts.append(jnp.concatenate([motion.target, offset]) / self.target_scale)
        return jnp.concatenate(parts)

    @property
    def system(self) -> System:
        """The edited system, loaded once per process."""
        return _load(self)


@cache
def _load(body: Body) -> System:
    text = (epath.resource_path("brax") / "envs/assets" / body.asset).read_text()
    for pattern, replacement in body.edits:
        text, count = re.subn(pattern, replacement, text, flags=re.DOTALL)
        assert count, f"{body.asset} no longer contains {pattern!r}"
    with jax.ensure_compile_time_eval(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that Brax is no longer maintained
        system: Any = mjcf.loads(text).tree_replace({"opt.timestep": CONTROL_SECONDS / body.substeps})
        if body.gear is not None:
            system = system.replace(actuator=system.actuator.replace(gear=jnp.array(body.gear)))
    return system


BODIES = {
    # Brax's inverted_pendulum, with the pole free to turn all the way round and a weaker motor. Twice Brax's
    # integration step halves its cost, and moves joint velocities by 0.04 m/s or rad/s after 16 random steps.
    "cartpole": Body(
        asset="inverted_pendulum.xml",
        edits=((r'range="-90 90" type="hinge"', 'limited="false" type="hinge"'),),
        gear=(40.0,),
        tip=(0.0, 0.0, 0.6),
        angles=(1,),
        velocity_scale=(1.0, 5.0),
        substeps=4,
    ),
    # Brax's reacher. Its target is a body of its own there; here it is a number, which halves the physics.
    "reacher": Body(
        asset="reacher.xml",
        edits=(
            (r"<!-- Target -->.*?</body>", ""),
            (r'"0 0 0\.1 -0\.1" name="init_qpos"', '"0 0" name="init_qpos"'),
            (r'"1000 1000 10"', '"1000 1000"'),
            (r'"3 3 0\.1"', '"3 3"'),
        ),
        gear=(25.0, 25.0),
        tip=(0.11, 0.0, 0.0),
        angles=(0, 1),
        velocity_scale=(5.0, 5.0),
        target_scale=0.2,
    ),
    # Brax's inverted_double_pendulum, unchanged but for a weaker motor.
    "double_pendulum": Body(
        asset="inverted_double_pendulum.xml",
        edits=(),
        gear=(300.0,),
        tip=(0.0, 0.0, 0.6),
        angles=(1, 2),
        velocity_scale=(1.0, 5.0, 10.0),
    ),
}


def near(distance: jax.Array, margin: float) -> jax.Array:
    """1 at distance 0, 0.1 at ``margin``, Gaussian in between (the Control Suite's ``tolerance``)."""
    return jnp.power(0.1, jnp.square(distance / margin))


def close(distance: jax.Array, far: float) -> jax.Array:
    """1 at distance 0, falling linearly to 0 at ``far``: wherever it is, the agent can tell better from worse."""
    return jnp.clip(1 - distance / far, 0.0, 1.0)


def upright(motion: Motion) -> jax.Array:
    """1 with the pole up, 0 with it hanging."""
    return 0.5 * (1 + jnp.cos(motion.q[1]))


def standing(motion: Motion) -> jax.Array:
    """1 with the pole up, falling linearly to 0 where it leans by 0.8 rad."""
    return close(jnp.abs(jnp.arctan2(jnp.sin(motion.q[1]), jnp.cos(motion.q[1]))), 0.8)


def centred(motion: Motion) -> jax.Array:
    """1 with the cart in the middle of its rail, 0.1 at its ends (1 m)."""
    return near(motion.q[0], 1.0)


def spinning(velocity: jax.Array, typical: float) -> jax.Array:
    """0 at rest or turning backwards, 1 from ``typical`` rad/s on."""
    return jnp.clip(velocity / typical, 0.0, 1.0)


def to_target(motion: Motion) -> jax.Array:
    """Distance of the fingertip from the target, m."""
    return jnp.linalg.norm(motion.tip[:2] - motion.target)


@dataclass(frozen=True)
class BraxTask:
    """A task: a body, a reward, a start, and what else it changes."""

    body: str
    changes: str
    """What it changes in Brax's environment of that body, in a sentence."""
    reward: Callable[[Motion], jax.Array]
    start: tuple[tuple[float, float], ...]
    """Range of each joint position at a trial's start, m or rad; velocities start within +-0.05."""
    gravity: float = 1.0
    """Gravity, as a multiple of the earth's."""
    mass: float = 1.0
    """Mass of the last link, as a multiple of the file's (its inertia stays)."""
    target_radius: float = 0.0
    """Targets are drawn uniformly from a disc of this radius, m, once per episode."""


PI = 3.1416
HANGING = ((-0.3, 0.3), (PI - 0.2, PI + 0.2))
OFF_CENTRE = ((-0.9, 0.9), (PI - 0.2, PI + 0.2))
ANYWHERE = ((-PI, PI), (-2.5, 2.5))

TASKS = {
    "cartpole_balance": BraxTask(
        "cartpole",
        "Starts tilted by up to 0.3 rad; rewards the pole's closeness to upright, within 0.8 rad; it may fall.",
        standing,
        start=((-0.3, 0.3), (-0.3, 0.3)),
    ),
    "cartpole_centre": BraxTask(
        "cartpole",
        "Starts hanging and off-centre; rewards the cart's closeness to the middle of its rail, not the pole.",
        lambda m: close(jnp.abs(m.q[0]), 0.6),
        start=OFF_CENTRE,
    ),
    "cartpole_spin": BraxTask(
        "cartpole",
        "Starts hanging; rewards the pole's angular velocity, up to 6 rad/s, in the positive direction.",
        lambda m: spinning(m.qd[1], 6.0),
        start=HANGING,
    ),
    "reacher_easy": BraxTask(
        "reacher",
        "Starts in any pose; the target stays for the episode; rewards closeness within 0.3 m, not -distance.",
        lambda m: close(to_target(m), 0.3),
        start=ANYWHERE,
        target_radius=0.2,
    ),
    "reacher_spin": BraxTask(
        "reacher",
        "No target; rewards the shoulder's angular velocity, up to 5 rad/s, in the positive direction.",
        lambda m: spinning(m.qd[0], 5.0),
        start=ANYWHERE,
    ),
    "reacher_fold": BraxTask(
        "reacher",
        "No target; rewards the elbow's closeness to 2 rad, so the arm is to be folded one way.",
        lambda m: close(jnp.abs(m.q[1] - 2.0), 2.0),
        start=ANYWHERE,
    ),
    "cartpole_swingup": BraxTask(
        "cartpole",
        "Starts hanging; rewards the pole's height with the cart centred.",
        lambda m: upright(m) * centred(m),
        start=HANGING,
    ),
    "cartpole_side": BraxTask(
        "cartpole",
        "cartpole_centre with its goal 0.5 m to the right of the middle; nothing observed tells so.",
        lambda m: close(jnp.abs(m.q[0] - 0.5), 0.6),
        start=OFF_CENTRE,
    ),
    "cartpole_spin_heavy": BraxTask(
        "cartpole",
        "cartpole_spin with a pole of twice the mass and gravity 1.3 times the earth's.",
        lambda m: spinning(m.qd[1], 6.0),
        start=HANGING,
        gravity=1.3,
        mass=2.0,
    ),
    "cartpole_balance_heavy": BraxTask(
        "cartpole",
        "cartpole_balance with a pole of twice the mass and gravity 1.3 times the earth's.",
        standing,
        start=((-0.3, 0.3), (-0.3, 0.3)),
        gravity=1.3,
        mass=2.0,
    ),
    "reacher_hard": BraxTask(
        "reacher",
        "reacher_easy with a sharper reward: a tenth of it is left 0.1 m from the target.",
        lambda m: near(to_target(m), 0.1),
        start=ANYWHERE,
        target_radius=0.2,
    ),
    "reacher_cruise": BraxTask(
        "reacher",
        "No target; rewards a shoulder velocity close to 2 rad/s, neither slower nor faster.",
        lambda m: close(jnp.abs(m.qd[0] - 2.0), 2.0),
        start=ANYWHERE,
    ),
    "double_pendulum_centre": BraxTask(
        "double_pendulum",
        "cartpole_centre on a body with two poles: starts hanging and off-centre, rewards the cart's closeness only.",
        lambda m: close(jnp.abs(m.q[0]), 0.6),
        start=((-0.9, 0.9), (PI - 0.2, PI + 0.2), (-0.2, 0.2)),
    ),
    "double_pendulum_swingup": BraxTask(
        "double_pendulum",
        "Starts hanging; rewards the tip's height; falling does not end it.",
        lambda m: jnp.clip(0.5 + m.tip[2] / 2.4, 0.0, 1.0),
        start=((-0.3, 0.3), (PI - 0.2, PI + 0.2), (-0.2, 0.2)),
    ),
}


class BraxParameters(NamedTuple):
    """A drawn task, as data."""

    task_index: jax.Array  # [] int32, into the environment's tasks
    target: jax.Array  # [2] m


@dataclass(frozen=True)
class BraxBody(Environment):
    """Tasks that share one body, and so one compiled program.

    The physics is deterministic: keys matter at task draws and resets only.
    """

    tasks: tuple[str, ...]

    def __post_init__(self) -> None:
        assert len({TASKS[name].body for name in self.tasks}) == 1

    @property
    def body(self) -> Body:
        """The body the tasks share."""
        return BODIES[TASKS[self.tasks[0]].body]

    @property
    def observation_size(self) -> int:  # type: ignore[override]
        """See `Body.observation_size`."""
        return self.body.observation_size

    @property
    def action_space(self) -> Continuous:  # type: ignore[override]
        """One coordinate per actuator."""
        return Continuous(self.body.system.act_size())

    def sample_task(self, index: jax.Array, *, key: Key) -> BraxParameters:
        """Draws the target, uniform on the task's disc."""
        radius_key, angle_key = jax.random.split(key)
        radius = self._of("target_radius")[index] * jnp.sqrt(jax.random.uniform(radius_key))
        angle = 2 * jnp.pi * jax.random.uniform(angle_key)
        return BraxParameters(index, radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)]))

    def reset(self, task: BraxParameters, *, key: Key) -> tuple[pipeline.State, jax.Array]:
        """Draws positions and velocities uniformly from the task's ranges."""
        q_key, qd_key = jax.random.split(key)
        low, high = jnp.moveaxis(self._of("start")[task.task_index], -1, 0)
        q = jax.random.uniform(q_key, low.shape, minval=low, maxval=high)
        qd = jax.random.uniform(qd_key, low.shape, minval=-0.05, maxval=0.05)
        state = pipeline.init(self._system(task), q, qd)
        return state, self.body.observe(self._motion(task, state))

    def step(
        self, task: BraxParameters, state: pipeline.State, action: jax.Array, *, key: Key
    ) -> tuple[pipeline.State, Transition]:
        """Applies the action, scaled from [-1, 1] to the actuators' range, for one control step."""
        del key
        system = self._system(task)
        low, high = system.actuator.ctrl_range.T
        control = low + 0.5 * (jnp.clip(action, -1.0, 1.0) + 1) * (high - low)
        state = jax.lax.fori_loop(0, self.body.substeps, lambda _, s: pipeline.step(system, s, control), state)
        motion = self._motion(task, state)
        reward = jax.lax.switch(task.task_index, [TASKS[name].reward for name in self.tasks], motion)
        false = jnp.zeros((), bool)
        return state, Transition(self.body.observe(motion), reward, false, false)

    def picture(self, task: BraxParameters, state: pipeline.State) -> Picture:
        """The body as its MuJoCo file draws it."""
        name = self.tasks[int(task.task_index)]
        picture = mujoco_picture(self.body.system.mj_model, np.asarray(state.q), GOALS.get(name))
        if TASKS[name].target_radius:
            height = picture.parts[-1].points[0, 2]
            picture = picture._replace(goal=(Part(np.array([[*task.target, height]]), 0.02),))
        return picture

    def words(self, task: str) -> str:
        """See `icrl.envs.brax_goals`."""
        return GOALS[task].words if task in GOALS else ""

    def _of(self, field: str) -> jax.Array:
        return jnp.array([getattr(TASKS[name], field) for name in self.tasks])

    def _system(self, task: BraxParameters) -> System:
        system: Any = self.body.system
        last_link = jnp.arange(system.num_links()) == system.num_links() - 1
        mass = system.link.inertia.mass * jnp.where(last_link, self._of("mass")[task.task_index], 1.0)
        system = system.replace(gravity=system.gravity * self._of("gravity")[task.task_index])
        return system.tree_replace({"link.inertia.mass": mass})

    def _motion(self, task: BraxParameters, state: pipeline.State) -> Motion:
        tip = state.x.take(-1).do(Transform.create(pos=jnp.array(self.body.tip))).pos
        return Motion(state.q, state.qd, tip, task.target)


def bodies(tasks: Sequence[str]) -> tuple[BraxBody, ...]:
    """One environment per body; see `group_by_body`."""
    return tuple(BraxBody(names) for names in group_by_body(tasks, lambda name: TASKS[name].body))
