"""Which devices a run uses."""

import os

import jax

from icrl.errors import UserError
from icrl.learners.devices import mesh_of
from icrl.spec.experiment import ExperimentSpec


def choose_mesh(spec: ExperimentSpec, requested: str | None) -> jax.sharding.Mesh:
    """The devices that will share the rows of a run: ``requested`` of them, or as many as can share equally.

    Raises:
        UserError: fewer are there, or the rows cannot be shared equally.
    """
    available = jax.local_devices()
    shares = spec.rows_per_task // spec.learner.row_groups
    usable = [count for count in range(1, len(available) + 1) if shares % count == 0]
    if requested in (None, "all"):
        number = usable[-1]
    elif requested in map(str, usable):
        number = int(requested)
    else:
        raise UserError(
            f"--devices: got {requested}; expected all or one of {', '.join(map(str, usable))}: there are "
            f"{len(available)}, and {spec.rows_per_task} rows a task in {spec.learner.row_groups} minibatches "
            "are to be shared equally"
        )
    return mesh_of(available[:number])


def count_cores_as_devices() -> None:
    """Makes every core of a CPU a device of its own, unless JAX_NUM_CPU_DEVICES says how many there are.

    Has effect only before JAX's first computation.
    """
    if "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    try:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    except RuntimeError:
        return
