"""What the DeepMind Control Suite itself says of every task: its model, and returns from given starts.

`test_dm_control_suite.py` compares with the file this writes. It is made in an environment of its own, since dm_control
does not run on the MuJoCo that icrl is pinned to: ``pip install dm_control==1.0.50 mujoco==3.17.0``, then
``MUJOCO_GL=disable python tests/envs/dm_control_reference.py``.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_suffix(".json")
STEPS, SOON, STARTS = 1000, 25, 4
"""Control steps of a return, and after which positions are compared; starts of every task."""
CONSTANTS = ("body_mass", "body_inertia", "dof_damping", "dof_armature", "jnt_stiffness", "actuator_gear")
"""Arrays of a model whose entries do not depend on how geoms are named or drawn; compared sorted."""
TASKS = {
    "ball_in_cup_catch": ("ball_in_cup", "catch"),
    "cartpole_balance": ("cartpole", "balance"),
    "cartpole_swingup": ("cartpole", "swingup"),
    "finger_spin": ("finger", "spin"),
    "finger_turn_easy": ("finger", "turn_easy"),
    "finger_turn_hard": ("finger", "turn_hard"),
    "pendulum_swingup": ("pendulum", "swingup"),
    "point_mass_easy": ("point_mass", "easy"),
    "point_mass_hard": ("point_mass", "hard"),
    "reacher_easy": ("reacher", "easy"),
    "reacher_hard": ("reacher", "hard"),
}


def waves(num_actions: int) -> np.ndarray:
    """Slow oscillations ``[STEPS, A]``, each action at its own pace."""
    pace = 0.05 * (1 + np.arange(num_actions))
    return np.sin(pace * np.arange(STEPS)[:, None] + np.arange(num_actions))


def constants(model: Any) -> dict[str, list[float]]:
    """The entries of `CONSTANTS` that are not zero, sorted; without bodies that only mark a target."""
    marks = np.asarray(model.body_mocapid) >= 0
    entries = {name: np.asarray(getattr(model, name)) for name in CONSTANTS}
    entries = {name: array[~marks] if name.startswith("body_") else array for name, array in entries.items()}
    return {name: sorted(round(float(x), 6) for x in array.ravel() if x) for name, array in entries.items()}


def options(model: Any) -> dict[str, float | int]:
    """How a model is integrated."""
    names = ("timestep", "integrator", "cone", "solver", "iterations", "ls_iterations", "disableflags")
    return {name: getattr(model.opt, name) for name in names}


def target(physics: Any, domain: str) -> list[float]:
    """Where a task's target is, m; zeros where it has none."""
    if domain == "reacher":
        return physics.named.model.geom_pos["target"].tolist()
    if domain == "finger":
        return physics.named.model.site_pos["target"].tolist()
    return [0.0] * 3


def measure(domain: str, task: str) -> dict[str, Any]:
    from dm_control import suite

    starts = []
    for seed in range(STARTS):
        returns, soon = {}, {}
        for name in ("do_nothing", "waves"):
            environment = suite.load(domain, task, task_kwargs={"random": seed})
            environment.reset()
            physics = environment.physics
            model = physics.model
            start = {"position": physics.data.qpos.tolist(), "velocity": physics.data.qvel.tolist()}
            actions = waves(model.nu) if name == "waves" else np.zeros((STEPS, model.nu))
            returns[name] = sum(environment.step(action).reward for action in actions[:SOON])
            soon[name] = physics.data.qpos.tolist()
            returns[name] += sum(environment.step(action).reward for action in actions[SOON:])
            if domain == "point_mass":  # each actuator's direction, a column
                start["directions"] = np.reshape(model.wrap_prm, (2, 2)).T.tolist()
        starts.append(start | {"target": target(physics, domain), "soon": soon, "returns": returns})
    return {
        "control_timestep": environment.control_timestep(),
        "options": options(model),
        "constants": constants(model),
        "starts": starts,
    }


if __name__ == "__main__":
    record = {"made_with": {package: version(package) for package in ("dm_control", "mujoco")}}
    record["tasks"] = {name: measure(*names) for name, names in TASKS.items()}
    FILE.write_text(json.dumps(record, indent=1) + "\n")
