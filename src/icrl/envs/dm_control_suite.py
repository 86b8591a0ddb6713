"""Tasks of the DeepMind Control Suite (arXiv 1801.00690), simulated by MuJoCo Playground (arXiv 2502.08844).

Models, control steps, rewards and observations are Playground's. What happens at a trial's start is the Control
Suite's own, from which Playground departs: it starts every trial of ball_in_cup alike, the pendulum on one side only,
and the finger where it may touch. Rewards lie in [0, 1] per step; no task ends by itself.

Playground is an optional package, so it is imported by name, when a simulation is first needed.
"""

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from copy import copy
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from icrl.envs.environment import Environment, group_by_body
from icrl.envs.mujoco_picture import mujoco_data, mujoco_image, mujoco_parts
from icrl.envs.picture import Picture
from icrl.envs.spaces import Continuous
from icrl.errors import UserError
from icrl.types import Key, Transition

START_DRAWS = 8
"""Starts drawn where bodies could touch; the first free one is taken."""

Ranges = tuple[tuple[float, float], ...]


def require_playground() -> None:
    """Raises UserError where the optional package is not installed."""
    if find_spec("mujoco_playground") is None:
        raise UserError(
            "environment.suite: got 'dm_control', which needs the package playground; expected it installed; "
            "run: pip install 'icrl[dm-control]'"
        )


@dataclass(frozen=True)
class Ring:
    """Where targets are drawn: uniform in angle, and in distance from a centre."""

    centre: tuple[float, float, float]
    """In world coordinates, m."""
    axes: tuple[int, int]
    """The plane: coordinates that vary."""
    distance: tuple[float, float]
    """Range, m."""

    def draw(self, *, key: Key) -> jax.Array:
        """A point ``[3]``, m."""
        angle_key, distance_key = jax.random.split(key)
        angle = jax.random.uniform(angle_key, maxval=2 * jnp.pi)
        distance = jax.random.uniform(distance_key, minval=self.distance[0], maxval=self.distance[1])
        offset = distance * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return jnp.array(self.centre).at[jnp.array(self.axes)].add(offset)


@dataclass(frozen=True)
class Body:
    """A simulated model, which its tasks share."""

    observation_scale: tuple[float, ...]
    """Typical size of each observation, which observations are divided by."""
    action_size: int
    velocity_noise: float = 0.0
    """Standard deviation of joint velocities at a trial's start, m/s or rad/s."""
    target: Ring | None = None
    turning: tuple[int, ...] = ()
    """Observations that are angles without bounds: observed within half a turn of 0."""
    reaches_ground: tuple[str, ...] = ()
    """Parts that can touch the ground. Those that cannot are kept from its contacts, which the solver pays for."""


PI = 3.141592653589793

BODIES = {
    # cup x, z, ball x, z; their velocities
    "ball_in_cup": Body(
        observation_scale=(0.1, 0.1, 0.2, 0.2, 1.0, 1.0, 1.0, 1.0), action_size=2, reaches_ground=("ball",)
    ),
    # cart position, cosine, sine; cart and pole velocity
    "cartpole": Body(observation_scale=(1.0, 1.0, 1.0, 2.0, 5.0), action_size=1, velocity_noise=0.01),
    # two joints, tip x, z; velocities of joints and spinner; touch of both finger pads
    "finger_spin": Body(observation_scale=(1.0, 1.0, 0.1, 0.1, 5.0, 5.0, 5.0, 1.0, 1.0), action_size=2),
    # the same; target x, z; distance of the tip from the target
    "finger_turn": Body(
        observation_scale=(1.0, 1.0, 0.1, 0.1, 5.0, 5.0, 5.0, 1.0, 1.0, 0.1, 0.1, 0.1),
        action_size=2,
        target=Ring(centre=(0.2, 0.0, 0.4), axes=(0, 2), distance=(0.13, 0.13)),
    ),
    # sine, cosine; velocity
    "pendulum": Body(observation_scale=(1.0, 1.0, 5.0), action_size=1),
    # x, y; velocities
    "point_mass": Body(observation_scale=(0.2, 0.2, 0.1, 0.1), action_size=2),
    # shoulder, wrist; finger to target; velocities
    "reacher": Body(
        observation_scale=(1.0, 1.0, 0.2, 0.2, 3.0, 3.0),
        action_size=2,
        target=Ring(centre=(0.0, 0.0, 0.01), axes=(0, 1), distance=(0.05, 0.2)),
        turning=(0,),
    ),
}


@dataclass(frozen=True)
class DMControlTask:
    """A task of the Control Suite."""

    body: str
    playground: str
    """Playground's name of the environment whose reward and observation it has."""
    start: Ranges
    """Range of each joint position at a trial's start, m or rad."""
    start_noise: float = 0.0
    """Standard deviation added to the joint positions at a trial's start, m or rad."""
    random_actuators: bool = False
    """Whether each actuator pushes in a direction of its own, drawn with the task."""


FINGER = ((-1.9199, 1.9199), (-1.9199, 1.9199), (-PI, PI))
PLANE = ((-0.29, 0.29), (-0.29, 0.29))
ARM = ((-PI, PI), (-2.7925, 2.7925))

TASKS = {
    "ball_in_cup_catch": DMControlTask("ball_in_cup", "BallInCup", ((0, 0), (0, 0), (-0.2, 0.2), (0.2, 0.5))),
    "cartpole_balance": DMControlTask("cartpole", "CartpoleBalance", ((-0.1, 0.1), (-0.034, 0.034))),
    "cartpole_swingup": DMControlTask("cartpole", "CartpoleSwingup", ((0, 0), (PI, PI)), start_noise=0.01),
    "finger_spin": DMControlTask("finger_spin", "FingerSpin", FINGER),
    "finger_turn_easy": DMControlTask("finger_turn", "FingerTurnEasy", FINGER),
    "finger_turn_hard": DMControlTask("finger_turn", "FingerTurnHard", FINGER),
    "pendulum_swingup": DMControlTask("pendulum", "PendulumSwingup", ((-PI, PI),)),
    "point_mass_easy": DMControlTask("point_mass", "PointMass", PLANE),
    "point_mass_hard": DMControlTask("point_mass", "PointMass", PLANE, random_actuators=True),
    "reacher_easy": DMControlTask("reacher", "ReacherEasy", ARM),
    "reacher_hard": DMControlTask("reacher", "ReacherHard", ARM),
}


class Simulation(NamedTuple):
    """What Playground offers for a body and some of its tasks."""

    mjx: Any  # the module
    advance: Callable[..., Any]  # model, data, control, number of substeps -> data
    environments: tuple[Any, ...]  # one a task: reward and observation
    model: Any  # mjx.Model, the same for all
    data: Any  # mjx.Data at rest, which a state is written into


@cache
def _simulate(tasks: tuple[str, ...]) -> Simulation:
    """Loads the tasks' model, once per process, without a word on the screen."""
    require_playground()
    with redirect_stdout(io.StringIO()), jax.ensure_compile_time_eval():
        playground: Any = import_module("mujoco_playground")
        mjx: Any = import_module("mujoco.mjx")
        suite = playground.dm_control_suite
        environments = tuple(suite.load(TASKS[name].playground, config_overrides={"impl": "jax"}) for name in tasks)
        mj_model = _off_ground(environments[0].mj_model, BODIES[TASKS[tasks[0]].body].reaches_ground)
        model = mjx.put_model(mj_model, impl="jax")
        # Actions are clipped before random directions mix them, as in the Control Suite, and not after.
        model = model.replace(actuator_ctrllimited=model.actuator_ctrllimited & False)
        data = mjx.make_data(mj_model, impl="jax")
    return Simulation(mjx, playground.step, environments, model, data)


def _off_ground(mj_model: Any, reaches_ground: Sequence[str]) -> Any:
    """The model with no contacts of planes but with the parts named; by MuJoCo's bits of what may collide."""
    mj_model = copy(mj_model)
    planes = mj_model.geom_type == 0  # mjGEOM_PLANE
    for collides in (mj_model.geom_contype, mj_model.geom_conaffinity):
        collides[planes] <<= 1
        for name in reaches_ground:
            collides[mj_model.geom(name).id] |= 2
    return mj_model


class DMControlParameters(NamedTuple):
    """A drawn task, as data."""

    task_index: jax.Array  # [] int32, into the environment's tasks
    target: jax.Array  # [3] m; zero where the body has none
    directions: jax.Array  # [A, A]: what the actuators receive is this times the action


class DMControlState(NamedTuple):
    """All that one control step hands to the next; everything else in MuJoCo's data follows from it."""

    position: jax.Array  # joint positions, m or rad
    velocity: jax.Array  # joint velocities, m/s or rad/s
    acceleration: jax.Array  # of the last step: where the constraint solver starts


@dataclass(frozen=True)
class DMControlBody(Environment):
    """Tasks that share one body, and so one compiled program.

    The physics is deterministic: keys matter at task draws and resets only. A simulation that diverges, which MuJoCo
    would reset, terminates the trial.
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
        """The Control Suite's."""
        return len(self.body.observation_scale)

    @property
    def action_space(self) -> Continuous:  # type: ignore[override]
        """One coordinate per actuator."""
        return Continuous(self.body.action_size)

    def sample_task(self, index: jax.Array, *, key: Key) -> DMControlParameters:
        """Draws the target and the directions of the actuators."""
        target_key, directions_key = jax.random.split(key)
        ring = self.body.target
        target = jnp.zeros(3) if ring is None else ring.draw(key=target_key)
        directions = jnp.eye(self.body.action_size)
        if any(TASKS[name].random_actuators for name in self.tasks):
            directions = jnp.where(self._of("random_actuators")[index], draw_directions(key=directions_key), directions)
        return DMControlParameters(index, target, directions)

    def reset(self, task: DMControlParameters, *, key: Key) -> tuple[DMControlState, jax.Array]:
        """Draws a start in which nothing touches, by the Control Suite's distribution."""
        position_key, velocity_key = jax.random.split(key)
        position = self._draw_start(task, key=position_key)
        velocity = self.body.velocity_noise * jax.random.normal(velocity_key, position.shape)
        state = DMControlState(position, velocity, jnp.zeros_like(velocity))
        data = self._simulation.mjx.sensor_pos(self._simulation.model, self._pose(task, state))
        return state, self._observe(task, data)

    def step(
        self, task: DMControlParameters, state: DMControlState, action: jax.Array, *, key: Key
    ) -> tuple[DMControlState, Transition]:
        """Applies the action for one control step."""
        del key
        simulation = self._simulation
        action = jnp.clip(action, -1.0, 1.0)
        control = task.directions @ action
        substeps = simulation.environments[0].n_substeps
        data = simulation.advance(simulation.model, self._data(task, state), control, substeps)
        rewards = [environment._get_reward(data, action, {}, {}) for environment in simulation.environments]
        state = DMControlState(data.qpos, data.qvel, data.qacc_warmstart)
        observation, reward = self._observe(task, data), jnp.stack(rewards)[task.task_index]
        diverged = ~jnp.all(jnp.isfinite(jnp.concatenate([*state, observation, reward[None]])))
        return state, Transition(
            jnp.where(diverged, 0.0, observation), jnp.where(diverged, 0.0, reward), diverged, jnp.zeros((), bool)
        )

    def picture(self, task: DMControlParameters, state: DMControlState) -> Picture:
        """What MuJoCo's renderer shows from the model's first camera; the model's parts where there is no OpenGL."""
        model: Any = self._simulation.environments[0].mj_model
        data = mujoco_data(model, np.asarray(state.position), np.asarray(task.target))
        image = mujoco_image(model, data)
        return Picture(mujoco_parts(model, data)) if image is None else Picture(image=image)

    @property
    def _simulation(self) -> Simulation:
        return _simulate(self.tasks)

    def _of(self, field: str) -> jax.Array:
        return jnp.array([getattr(TASKS[name], field) for name in self.tasks])

    def _data(self, task: DMControlParameters, state: DMControlState) -> Any:
        data = self._simulation.data
        return data.replace(
            qpos=state.position,
            qvel=state.velocity,
            qacc_warmstart=state.acceleration,
            mocap_pos=jnp.broadcast_to(task.target, data.mocap_pos.shape),
        )

    def _pose(self, task: DMControlParameters, state: DMControlState) -> Any:
        return self._simulation.mjx.kinematics(self._simulation.model, self._data(task, state))

    def _draw_start(self, task: DMControlParameters, *, key: Key) -> jax.Array:
        low, high = jnp.moveaxis(self._of("start")[task.task_index], -1, 0)
        noise = self._of("start_noise")[task.task_index]

        def draw(key: Key) -> jax.Array:
            uniform_key, noise_key = jax.random.split(key)
            position = jax.random.uniform(uniform_key, low.shape, minval=low, maxval=high)
            return position + noise * jax.random.normal(noise_key, low.shape)

        def touches(position: jax.Array) -> jax.Array:
            at_rest = DMControlState(position, jnp.zeros_like(position), jnp.zeros_like(position))
            data = self._simulation.mjx.collision(self._simulation.model, self._pose(task, at_rest))
            return jnp.any(data._impl.contact.dist < 0)

        if not self._simulation.data._impl.contact.dist.size:
            return draw(key)
        positions = jax.vmap(draw)(jax.random.split(key, START_DRAWS))
        return positions[jnp.argmin(jax.vmap(touches)(positions))]

    def _observe(self, task: DMControlParameters, data: Any) -> jax.Array:
        observed = [environment._get_obs(data, {}) for environment in self._simulation.environments]
        observation = jnp.stack(observed)[task.task_index]
        for index in self.body.turning:
            observation = observation.at[index].set(jnp.mod(observation[index] + PI, 2 * PI) - PI)
        return observation / jnp.array(self.body.observation_scale)


def draw_directions(*, key: Key) -> jax.Array:
    """Two unit vectors, the columns of ``[2, 2]``, uniform among those with a cosine within +-0.9 of one another."""
    first_key, turn_key, side_key = jax.random.split(key, 3)
    first = jax.random.uniform(first_key, maxval=2 * jnp.pi)
    least = jnp.arccos(0.9)
    turn = jax.random.rademacher(side_key) * jax.random.uniform(turn_key, minval=least, maxval=jnp.pi - least)
    angles = jnp.stack([first, first + turn])
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)])


def bodies(tasks: Sequence[str]) -> tuple[DMControlBody, ...]:
    """One environment per body; see `group_by_body`."""
    return tuple(DMControlBody(names) for names in group_by_body(tasks, lambda name: TASKS[name].body))
