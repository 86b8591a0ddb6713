"""Which devices a run uses."""

import os
from collections.abc import Sequence
from typing import Any

import jax

from icrl.errors import UserError
from icrl.launch.machine import cores
from icrl.learners.devices import mesh_of
from icrl.spec.experiment import ExperimentSpec


def choose_mesh(spec: ExperimentSpec, requested: str | None) -> jax.sharding.Mesh:
    """The devices that will share a run: ``requested`` of every process, or as many as can share it equally.

    Raises:
        UserError: fewer are there, or seeds and rows cannot be shared equally.
    """
    return mesh_of(shared_equally(spec, requested, jax.devices()), spec.num_seeds)


def shared_equally(spec: ExperimentSpec, requested: str | None, devices: Sequence[Any]) -> list[Any]:
    """Those of ``devices``, as many of every process, that `choose_mesh` takes; the first process's come first."""
    members = sorted({device.process_index for device in devices})
    of_each = [[device for device in devices if device.process_index == member] for member in members]
    fewest, most = min(map(len, of_each)), max(map(len, of_each))
    if fewest < most:
        raise UserError(
            f"--num-processes: got processes with {fewest} and with {most} devices; expected as many in each; "
            "JAX_NUM_CPU_DEVICES sets how many a CPU has"
        )
    usable = [count for count in range(1, fewest + 1) if spec.equal_shares % (count * len(members)) == 0]
    what = f"{spec.rows_per_task} rows a task in {spec.learner.row_groups} minibatches are to be shared equally"
    if spec.num_seeds > 1:
        what = f"{spec.num_seeds} seeds of {what}"
    if not usable:
        raise UserError(f"--num-processes: got {len(members)}; expected a divisor of {spec.equal_shares}: {what}")
    if requested in (None, "all"):
        number = usable[-1]
    elif requested in map(str, usable):
        number = int(requested)
    else:
        of_all = f" in each of {len(members)} processes" if len(members) > 1 else ""
        raise UserError(
            f"--devices: got {requested}; expected all or one of {', '.join(map(str, usable))}: there are "
            f"{fewest}{of_all}, and {what}"
        )
    return [device for own in of_each for device in own[:number]]


def count_cores_as_devices() -> None:
    """Makes every core of a CPU a device of its own, unless JAX_NUM_CPU_DEVICES or XLA_FLAGS says how many there are.

    Has effect only before JAX's first computation.
    """
    if "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", cores())
    except RuntimeError:
        return
