"""The bodies of `icrl.envs.brax_suite`: Brax's own (github.com/google/brax, Apache-2.0), edited, and two more.

All run on Brax's ``spring`` physics, where a link's rotational inertia is 1 kg m^2 whatever its shape, and what slows
it down is set once for all links.
"""

import re
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from brax.base import System
from brax.io import mjcf
from etils import epath

CONTROL_SECONDS = 0.04
"""Length of a control step: twice Brax's, so that a laptop's trials last longer."""


class Motion(NamedTuple):
    """What rewards and observations are computed from."""

    q: jax.Array  # joint positions, m or rad
    qd: jax.Array  # joint velocities, m/s or rad/s
    tip: jax.Array  # [3] position of the last link's free end, m


@dataclass(frozen=True)
class Body:
    """A body: the file of one of Brax's, with the edits made to it, or a MuJoCo file's text."""

    asset: str
    """The name of Brax's file, or the text."""
    gear: tuple[float, ...] | None
    """Actuator gears, where Brax's environment overrides the file's for this backend."""
    tip: tuple[float, float, float]
    """The free end, in the last link's frame, m."""
    angles: tuple[int, ...]
    """Indices of q that are angles."""
    velocity_scale: tuple[float, ...]
    """Typical joint velocities, m/s or rad/s: what observed velocities are divided by."""
    edits: tuple[tuple[str, str], ...] = ()
    """Regular expressions and their replacements, applied in order to the file's text; each must match."""
    substeps: int = 8
    """Integration steps per control step; 8 makes them as long as Brax's own on this backend, 0.005 s."""
    target_scale: float | None = None
    """Where a target is observed: the length that its coordinates are divided by, m."""

    @property
    def observation_size(self) -> int:
        """Positions (two per angle), velocities, and target and tip-to-target vectors where there is a target."""
        targets = 0 if self.target_scale is None else 4
        return 2 * len(self.velocity_scale) + len(self.angles) + targets

    def observe(self, motion: Motion, target: jax.Array) -> jax.Array:
        """The observation ``[O]``; ``target`` ``[2]`` in the plane of motion, m, is zero where a task shows none."""
        positions = jnp.array([i for i in range(len(self.velocity_scale)) if i not in self.angles], int)
        angles = motion.q[jnp.array(self.angles, int)]
        parts = [
            motion.q[positions],
            jnp.cos(angles),
            jnp.sin(angles),
            motion.qd / jnp.array(self.velocity_scale),
        ]
        if self.target_scale is not None:
            parts.append(jnp.concatenate([target, motion.tip[:2] - target]) / self.target_scale)
        return jnp.concatenate(parts)

    @property
    def system(self) -> System:
        """The edited system, loaded once per process."""
        return _load(self)


@cache
def _load(body: Body) -> System:
    text = body.asset
    if not text.startswith("<"):
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


# Brax's reacher. Its target is a body of its own there; here it is a number, which halves the physics.
WITHOUT_TARGET = (
    (r"<!-- Target -->.*?</body>", ""),
    (r'"0 0 0\.1 -0\.1" name="init_qpos"', '"0 0" name="init_qpos"'),
    (r'"1000 1000 10"', '"1000 1000"'),
    (r'"3 3 0\.1"', '"3 3"'),
)

# A rod of 0.6 m and 5 kg that hangs from its hinge: 15 N m of gravity at most, and a motor of 30 N m.
PENDULUM = """<mujoco model="pendulum">
  <compiler inertiafromgeom="true"/>
  <default><geom contype="0" conaffinity="0" rgba="0.4 0.33 0.26 1"/></default>
  <option gravity="0 0 -9.81"/>
  <custom>
    <numeric data="10000" name="constraint_stiffness"/>
    <numeric data="-1" name="ang_damping"/>
    <numeric data="0" name="spring_mass_scale"/>
    <numeric data="1" name="spring_inertia_scale"/>
  </custom>
  <worldbody>
    <body name="rod">
      <joint axis="0 1 0" name="hinge" type="hinge" limited="false"/>
      <geom fromto="0 0 0 0 0 -0.6" name="rod" size="0.049" type="capsule"/>
    </body>
  </worldbody>
  <actuator><motor ctrllimited="true" ctrlrange="-1 1" gear="30" joint="hinge"/></actuator>
</mujoco>"""

# A ball of 4 kg that slides on a plane, slowed at 3 per second: 30 N move it at 2.4 m/s in the end.
POINT = """<mujoco model="point">
  <compiler inertiafromgeom="true"/>
  <default><geom contype="0" conaffinity="0" rgba="0.4 0.33 0.26 1"/></default>
  <option gravity="0 0 0"/>
  <custom>
    <numeric data="10000" name="constraint_stiffness"/>
    <numeric data="-3" name="vel_damping"/>
    <numeric data="0" name="spring_mass_scale"/>
    <numeric data="1" name="spring_inertia_scale"/>
  </custom>
  <worldbody>
    <body name="ball">
      <joint axis="1 0 0" name="x" type="slide" limited="false"/>
      <joint axis="0 1 0" name="y" type="slide" limited="false"/>
      <geom name="ball" size="0.1" type="sphere"/>
    </body>
  </worldbody>
  <actuator>
    <motor ctrllimited="true" ctrlrange="-1 1" gear="30" joint="x"/>
    <motor ctrllimited="true" ctrlrange="-1 1" gear="30" joint="y"/>
  </actuator>
</mujoco>"""

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
    "reacher": Body(
        asset="reacher.xml",
        edits=WITHOUT_TARGET,
        gear=(25.0, 25.0),
        tip=(0.11, 0.0, 0.0),
        angles=(0, 1),
        velocity_scale=(5.0, 5.0),
        target_scale=0.2,
    ),
    # Brax's inverted_double_pendulum, unchanged but for a weaker motor.
    "double_pendulum": Body(
        asset="inverted_double_pendulum.xml",
        gear=(300.0,),
        tip=(0.0, 0.0, 0.6),
        angles=(1, 2),
        velocity_scale=(1.0, 5.0, 10.0),
    ),
    "pendulum": Body(
        asset=PENDULUM,
        gear=None,
        tip=(0.0, 0.0, -0.6),
        angles=(0,),
        velocity_scale=(5.0,),
        substeps=4,
    ),
    "point": Body(
        asset=POINT,
        gear=None,
        tip=(0.0, 0.0, 0.0),
        angles=(),
        velocity_scale=(1.0, 1.0),
        substeps=4,
    ),
    # The reacher with links of 0.14 and 0.06 m instead of 0.1 m each.
    "arm": Body(
        asset="reacher.xml",
        edits=(
            *WITHOUT_TARGET,
            (r'fromto="0 0 0 0\.1 0 0" name="link0"', 'fromto="0 0 0 0.14 0 0" name="link0"'),
            (r'name="body1" pos="0\.1 0 0"', 'name="body1" pos="0.14 0 0"'),
            (r'fromto="0 0 0 0\.1 0 0" name="link1"', 'fromto="0 0 0 0.06 0 0" name="link1"'),
            (r'name="fingertip" pos="0\.11 0 0"', 'name="fingertip" pos="0.07 0 0"'),
        ),
        gear=(25.0, 25.0),
        tip=(0.07, 0.0, 0.0),
        angles=(0, 1),
        velocity_scale=(5.0, 5.0),
        target_scale=0.2,
    ),
}
