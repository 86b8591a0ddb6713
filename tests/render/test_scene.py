"""Pictures of bodies: their parts are where the simulator has them, in a view that shows how they move."""

from dataclasses import fields
from pathlib import Path

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from brax.spring.base import State
from etils import epath
from PIL import Image, ImageColor, ImageDraw

from icrl.envs.brax_bodies import BODIES
from icrl.envs.brax_suite import TASKS, BraxBody, BraxParameters
from icrl.envs.mujoco_picture import mujoco_picture
from icrl.envs.picture import Goal, Part, Picture, Turn
from icrl.envs.popgym.cartpole import CartPoleState, StatelessCartPole
from icrl.render.scene import GOAL, View, draw_state, tint

BOX = (0.0, 0.0, 200.0, 200.0)


def picture(task: str, *q: float) -> Picture:
    return mujoco_picture(BODIES[TASKS[task].body].system.mj_model, np.array(q), None)


def drawn(view: View, *pictures: Picture) -> np.ndarray:
    canvas = Image.new("RGB", (200, 200), "white")
    draw_state(ImageDraw.Draw(canvas), view, BOX, pictures, "#0072B2", 1)
    return np.asarray(canvas)


def test_parts_are_where_the_joints_put_them():
    pole = picture("cartpole_balance", 0.5, np.pi / 2).parts[-1]
    assert not pole.fixed
    assert np.ptp(pole.points[:, 0]) == pytest.approx(0.6, abs=1e-3)  # it lies along the rail
    assert max(pole.points[:, 0]) == pytest.approx(1.1, abs=1e-2)
    assert [part.fixed for part in picture("cartpole_balance", 0.5, 0.0).parts] == [True, False, False]


@pytest.mark.parametrize(("task", "axes"), [("cartpole_balance", (0, 2)), ("reacher_spin", (0, 1))])
def test_a_body_is_seen_from_the_side_on_which_it_moves(task: str, axes: tuple[int, int]):
    random = np.random.default_rng(0)
    size = len(BODIES[TASKS[task].body].velocity_scale)
    view = View.of([picture(task, *random.uniform(-1, 1, size)) for _ in range(5)])
    assert view is not None
    assert view.axes == axes
    (low, high), _ = view.flat(np.array([[0, 0, 0], [0, 0.1, 0.1]]), BOX)
    assert high[1] < low[1]  # up is up


def test_an_arrow_turns_as_the_joint_does():
    for task, joint in (("cartpole_spin", 1), ("reacher_spin", 0)):
        model, still = BODIES[TASKS[task].body].system.mj_model, np.zeros(2)
        turned = still.copy()
        turned[joint] = 0.1
        before, after = (mujoco_picture(model, q, Goal("", turn=joint)) for q in (still, turned))
        view = View.of([before, mujoco_picture(model, np.array([0.3, 0.3]), None)])
        assert view is not None
        ends = [view.flat(p.parts[-1].points[-1:] - p.turns[0].centre, BOX)[0][0] for p in (before, after)]
        (x, y), (to_x, to_y) = (end - view.flat(np.zeros((1, 3)), BOX)[0][0] for end in ends)
        assert (x * to_y - y * to_x < 0) == view.turns_left(before.turns[0].axis)  # y points down in images


def test_the_goal_is_marked_in_green_and_the_body_in_its_colour():
    body = BraxBody(("reacher_easy", "reacher_spin"))
    task = BraxParameters(jnp.int32(0), jnp.array([-0.1, 0.12]))
    state = State(**dict.fromkeys(field.name for field in fields(State)) | {"q": np.array([0.3, 0.2])})
    seen = body.picture(task, state)
    assert np.allclose(seen.goal[0].points[0, :2], task.goal)
    view = View.of([seen])
    assert view is not None
    image = drawn(view, seen)
    [x, y] = view.flat(seen.goal[0].points, BOX)[0][0].astype(int)
    assert tuple(image[y, x]) == ImageColor.getrgb(tint(GOAL, 0.25))
    assert (image == ImageColor.getrgb("#0072B2")).all(axis=-1).any()
    assert body.words("reacher_easy") == "the fingertip on the target"


def test_what_an_episode_has_drawn_is_marked():
    body = BraxBody(("cartpole_turn", "cartpole_place"))
    state = State(**dict.fromkeys(field.name for field in fields(State)) | {"q": np.array([0.3, np.pi])})
    for sign in (-1, 1):
        turning, placed = (
            body.picture(BraxParameters(jnp.int32(index), jnp.array([sign * far, 0.0])), state)
            for index, far in enumerate((6.0, 0.4))
        )
        assert np.sign(turning.turns[0].axis[1]) == sign and not turning.goal
        assert np.mean(placed.goal[0].points[:, 0]) == pytest.approx(sign * 0.4)  # the cart


def test_a_wanted_pose_and_a_wanted_turn_are_drawn():
    model = BODIES["cartpole"].system.mj_model
    hanging = np.array([0.4, np.pi])
    posed = mujoco_picture(model, hanging, Goal("", pose={0: 0.0, 1: 0.0}))
    assert max(part.points[:, 2].max() for part in posed.goal) == pytest.approx(0.6, abs=1e-3)
    turning = mujoco_picture(model, hanging, Goal("", turn=1))
    green = ImageColor.getrgb(tint(GOAL, 0.75))
    for one, expected in ((posed, False), (turning, True)):
        view = View.of([one, mujoco_picture(model, np.zeros(2), None)])
        assert view is not None
        assert (drawn(view, one) == green).all(axis=-1).any() == expected


@pytest.mark.parametrize("asset", ["ant", "half_cheetah", "hopper", "humanoid", "swimmer", "walker2d"])
def test_any_body_of_brax_can_be_drawn(asset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo logs into the working folder that an old file has old attributes
    text = (epath.resource_path("brax") / "envs/assets" / f"{asset}.xml").read_text()
    model = mujoco.MjModel.from_xml_string(text)
    start = np.array(model.qpos0)
    seen = [mujoco_picture(model, start + shift, None) for shift in (0.0, 0.1)]
    assert len([part for part in seen[0].parts if not part.fixed]) >= 3
    view = View.of(seen)
    assert view is not None
    assert len({tuple(pixel) for pixel in drawn(view, *seen).reshape(-1, 3)}) > 2


def test_other_environments_name_their_parts():
    cart = StatelessCartPole(tasks=("a",))
    seen = cart.picture((), CartPoleState(jnp.array([1.0, 0.0, 0.2, 0.0]), jnp.int32(0)))
    assert seen.parts[-1].points[1] == pytest.approx([1 + np.sin(0.2), 0, np.cos(0.2)])


def test_nothing_is_seen_where_there_is_nothing():
    fixed = Part(np.zeros((1, 3)), 1.0, fixed=True)
    assert View.of([Picture(), Picture((fixed,), turns=(Turn(np.zeros(3), np.array([0, 0, 1])),))]) is None
