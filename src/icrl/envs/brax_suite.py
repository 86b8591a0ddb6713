"""Small meta-RL tasks on the bodies of Brax (github.com/google/brax, Apache-2.0), on its ``spring`` physics.

Brax ships few environments small enough for a laptop, so tasks are derived from their bodies: another reward, start,
target, direction, difficulty or dynamics, fixed (`icrl.envs.brax_tasks`) or drawn with every episode
(`icrl.envs.brax_families`); each task says what it changes. Common to all, and unlike Brax's own environments: rewards
lie in [0, 1] per step (the convention of the DeepMind Control Suite, arXiv 1801.00690), so tasks of different kinds
weigh alike; no task terminates; angles are observed as sine and cosine and velocities in units of the body's typical
one, so every observation is of unit size; a control step is 0.04 s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.base import System, Transform
from brax.spring import pipeline

from icrl.envs.brax_bodies import BODIES, Body, Motion
from icrl.envs.brax_families import FAMILIES
from icrl.envs.brax_goals import GOALS
from icrl.envs.brax_tasks import POINTS, WAYS
from icrl.envs.environment import Environment, group_by_body
from icrl.envs.mujoco_picture import mujoco_picture
from icrl.envs.picture import Part, Picture
from icrl.envs.spaces import Continuous
from icrl.types import Key, Transition

TASKS = POINTS | FAMILIES
"""All tasks by name."""

DYNAMICS = ("gravity", "mass", "length", "gear", "damping")
"""What an episode draws beside its goal: fields of `BraxTask` and of `BraxParameters`."""


class BraxParameters(NamedTuple):
    """A drawn task, as data."""

    task_index: jax.Array  # [] int32, into the environment's tasks
    goal: jax.Array  # [2], see `BraxTask.goal`
    gravity: jax.Array | float = 1.0
    mass: jax.Array | float = 1.0
    length: jax.Array | float = 1.0
    gear: jax.Array | float = 1.0
    damping: jax.Array | float = 0.0


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
        """Draws the goal and the dynamics from the task's ranges."""
        far_key, way_key = jax.random.split(key)
        share, angle = jax.random.uniform(far_key), 2 * jnp.pi * jax.random.uniform(way_key)
        low, high = self._of("goal")[index]
        way = jnp.array([WAYS.index(TASKS[name].way) for name in self.tasks])[index]
        ring = jnp.sqrt(low**2 + share * (high**2 - low**2))
        far = jnp.where(way == WAYS.index("any"), ring, low + share * (high - low))
        around = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        direction = jnp.stack([jnp.array([1.0, 0.0]), jnp.array([jnp.where(angle < jnp.pi, 1.0, -1.0), 0.0]), around])
        dynamics = {}
        for number, name in enumerate(DYNAMICS):
            low, high = self._of(name)[index]
            dynamics[name] = low + jax.random.uniform(jax.random.fold_in(key, number)) * (high - low)
        return BraxParameters(index, far * direction[way], **dynamics)

    @property
    def hidden_size(self) -> int:  # type: ignore[override]
        """One for each of the dynamics that some task draws, two for a goal that one draws and does not show."""
        return sum(2 if name == "goal" else 1 for name in self._hidden)

    def hidden(self, task: BraxParameters) -> jax.Array:
        """Goal and dynamics, as far as they are drawn and not shown, from -1 to 1 over the task's own ranges.

        Over those of all tasks of the body, goals in metres would vanish beside goals in rad/s.
        """
        parts = [jnp.zeros(0)]
        for name in self._hidden:
            low, high = self._of(name)[task.task_index]
            low = -high if name == "goal" else low
            span = jnp.where(low < high, high - low, 1.0)  # of what this task does not draw, any
            parts.append(jnp.atleast_1d((2 * getattr(task, name) - low - high) / span))
        return jnp.concatenate(parts)

    @property
    def privileged_size(self) -> int:
        """That of the observation, and of what is hidden."""
        return self.observation_size + self.hidden_size

    def privileged(self, task: BraxParameters, state: pipeline.State) -> jax.Array:
        """The observation, and what is hidden."""
        return jnp.concatenate([self._observe(task, state), self.hidden(task)])

    def reset(self, task: BraxParameters, *, key: Key) -> tuple[pipeline.State, jax.Array]:
        """Draws positions and velocities uniformly from the task's ranges."""
        q_key, qd_key = jax.random.split(key)
        low, high = jnp.moveaxis(self._of("start")[task.task_index], -1, 0)
        q = jax.random.uniform(q_key, low.shape, minval=low, maxval=high)
        qd = jax.random.uniform(qd_key, low.shape, minval=-0.05, maxval=0.05)
        state = pipeline.init(self._system(task), q, qd)
        return state, self._observe(task, state)

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
        reward = jax.lax.switch(task.task_index, [TASKS[name].reward for name in self.tasks], motion, task.goal)
        false = jnp.zeros((), bool)
        return state, Transition(self.body.observe(motion, self._target(task)), reward, false, false)

    def picture(self, task: BraxParameters, state: pipeline.State) -> Picture:
        """The body as its MuJoCo file draws it, and the goal that the episode has drawn."""
        name, goal = self.tasks[int(task.task_index)], np.asarray(task.goal)
        marked = GOALS[name].drawn(float(goal[0])) if name in GOALS else None
        picture = mujoco_picture(self.body.system.mj_model, np.asarray(state.q), marked)
        if TASKS[name].way == "any":
            height = picture.parts[-1].points[0, 2]
            picture = picture._replace(goal=(Part(np.array([[*goal, height]]), 0.02),))
        return picture

    def words(self, task: str) -> str:
        """See `icrl.envs.brax_goals`."""
        return GOALS[task].words if task in GOALS else ""

    def _of(self, field: str) -> jax.Array:
        return jnp.array([getattr(TASKS[name], field) for name in self.tasks])

    @property
    def _hidden(self) -> tuple[str, ...]:
        """What some task draws and does not show: "goal", and names of dynamics."""
        tasks = [TASKS[name] for name in self.tasks]
        goal = any(not task.shown and (task.goal[0] < task.goal[1] or task.way != "forward") for task in tasks)
        drawn = (name for name in DYNAMICS if any(low < high for low, high in (getattr(task, name) for task in tasks)))
        return (*["goal"] * goal, *drawn)

    def _fixed(self, task: BraxParameters) -> BraxParameters:
        """The task, with dynamics that all tasks have alike as constants of the program."""
        alike = {name: {getattr(TASKS[task], name) for task in self.tasks} for name in DYNAMICS}
        constant = {name: low for name, [(low, high), *others] in alike.items() if low == high and not others}
        return task._replace(**constant)

    def _system(self, task: BraxParameters) -> System:
        task = self._fixed(task)
        system: Any = self.body.system
        last_link = jnp.arange(system.num_links()) == system.num_links() - 1
        system = system.replace(
            gravity=system.gravity * task.gravity,
            actuator=system.actuator.replace(gear=system.actuator.gear * task.gear),
            vel_damping=system.vel_damping - task.damping,
            ang_damping=system.ang_damping - task.damping,
        )
        return system.tree_replace(
            {
                "link.inertia.mass": system.link.inertia.mass * jnp.where(last_link, task.mass, 1.0),
                "link.inertia.transform.pos": system.link.inertia.transform.pos * task.length,
                "link.transform.pos": system.link.transform.pos * task.length,
            }
        )

    def _observe(self, task: BraxParameters, state: pipeline.State) -> jax.Array:
        return self.body.observe(self._motion(task, state), self._target(task))

    def _motion(self, task: BraxParameters, state: pipeline.State) -> Motion:
        tip = jnp.array(self.body.tip) * self._fixed(task).length
        return Motion(state.q, state.qd, state.x.take(-1).do(Transform.create(pos=tip)).pos)

    def _target(self, task: BraxParameters) -> jax.Array:
        """The goal where it is shown, else zero, ``[2]``."""
        return jnp.where(self._of("shown")[task.task_index], task.goal, 0.0)


def bodies(tasks: Sequence[str]) -> tuple[BraxBody, ...]:
    """One environment per body; see `group_by_body`."""
    return tuple(BraxBody(names) for names in group_by_body(tasks, lambda name: TASKS[name].body))
