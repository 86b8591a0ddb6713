"""Pictures of what MuJoCo has a model of: every body of Brax and of the Control Suite."""

import logging
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from icrl.envs.picture import Goal, Part, Picture, Turn

mujoco: Any = import_module("mujoco")  # comes with Brax; its functions have no types
logger = logging.getLogger(__name__)

PLANE, SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX, MESH = 0, 2, 3, 4, 5, 6, 7
"""MuJoCo's kinds of geometry (``mjtGeom``)."""


def mujoco_data(model: Any, position: np.ndarray, target: np.ndarray | None = None) -> Any:
    """MuJoCo's data with its bodies where the joint positions ``[n]`` put them, and its marker at a target ``[3]``."""
    data = mujoco.MjData(model)
    data.qpos[:] = position
    if target is not None and model.nmocap:
        data.mocap_pos[:] = target
    mujoco.mj_forward(model, data)
    return data


def mujoco_image(model: Any, data: Any, size: int = 480) -> np.ndarray | None:
    """``[size, size, 3]`` uint8: a state from the model's first camera; None on a machine without OpenGL."""
    renderer = _renderer(model, size)
    if renderer is None:
        return None
    renderer.update_scene(data, camera=0 if model.ncam else -1)
    return renderer.render()


@cache
def _renderer(model: Any, size: int) -> Any:
    """MuJoCo's own, once for every model; it fails in many ways where OpenGL is missing."""
    try:
        return mujoco.Renderer(model, size, size)
    except Exception as error:
        logger.warning("MuJoCo's renderer needs OpenGL, which fails here (%s); drawing plainly instead", error)
        return None


def mujoco_parts(model: Any, data: Any, *, moving_only: bool = False) -> tuple[Part, ...]:
    """The geometry of a MuJoCo model, planes and what is transparent left out."""
    return tuple(
        Part(corners @ data.geom_xmat[index].reshape(3, 3).T + data.geom_xpos[index], radius, not body)
        for index, body in enumerate(model.body_weldid[model.geom_bodyid])
        if (body or not moving_only) and model.geom_rgba[index, 3] > 0
        for corners, radius in _pieces(model, index)
    )


def mujoco_picture(model: Any, position: np.ndarray, goal: Goal | None) -> Picture:
    """A state of a MuJoCo model; its joints are numbered as in ``position``, so each has one coordinate."""
    data = mujoco_data(model, position)
    parts = mujoco_parts(model, data)
    if goal is None:
        return Picture(parts)
    wanted: tuple[Part, ...] = ()
    if goal.pose:
        position = np.array(position, float)
        position[list(goal.pose)] = list(goal.pose.values())
        wanted = mujoco_parts(model, mujoco_data(model, position), moving_only=True)
    way = -1 if goal.backwards else 1
    turns = () if goal.turn is None else (Turn(data.xanchor[goal.turn].copy(), way * data.xaxis[goal.turn]),)
    return Picture(parts, wanted, turns)


def _pieces(model: Any, index: int) -> Iterator[tuple[np.ndarray, float]]:
    """Corners ``[n, 3]`` in the geometry's own frame, and the radius around them."""
    kind, (x, y, z) = model.geom_type[index], model.geom_size[index]
    if kind == SPHERE:
        yield np.zeros((1, 3)), x
    elif kind == CAPSULE:
        yield np.array([[0, 0, -y], [0, 0, y]]), x
    elif kind == BOX:
        yield np.array([[i * x, j * y, k * z] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]), 0.0
    elif kind == CYLINDER:
        yield np.array([[x * c, x * s, k * y] for c, s in _circle() for k in (-1, 1)]), 0.0
    elif kind == ELLIPSOID:
        around = [(np.sin(tilt), np.cos(tilt)) for tilt in np.linspace(0, np.pi, 9)]
        yield np.array([[x * c * flat, y * s * flat, z * up] for flat, up in around for c, s in _circle()]), 0.0
    elif kind == MESH:
        mesh = model.geom_dataid[index]
        first = model.mesh_vertadr[mesh]
        yield model.mesh_vert[first : first + model.mesh_vertnum[mesh]].astype(float), 0.0


def _circle() -> list[tuple[float, float]]:
    return [(np.cos(angle), np.sin(angle)) for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False)]
