"""The processes of one run, on one machine or on several: how they meet, agree, and lose each other.

JAX's distributed runtime does the work, between CPUs through Gloo. The first process keeps the run directory; what
it reads there it sends to the others. A run of one process starts nothing here and pays nothing.
"""

from __future__ import annotations

import atexit
import ctypes
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from icrl.errors import IcrlError, MachineError, UserError
from icrl.types import PyTree

HEARTBEAT_SECONDS = 100
"""For how long a process may be silent before the others take it for lost."""

LOST = (
    "another process of this run has ended or cannot be reached; its own output says why; "
    "run the same command again, with as many processes as you like, to go on from the last checkpoint"
)
_OF_THE_RUNTIME = re.compile("gloo|nccl|coordination", re.IGNORECASE)
"""What errors of a collective or of the runtime have in them."""


def initialize_arguments(
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    heartbeat_seconds: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Any] | None:
    """The arguments that `jax.distributed.initialize` needs in this process; None if the run has no other.

    They are as told, or none where a launcher started several processes and JAX knows how to ask it.

    Raises:
        UserError: what was told is incomplete or contradicts itself.
    """
    arguments = _told(coordinator, num_processes, process_id)
    if arguments is None and num_processes is None and launched_with_others(environment):
        arguments = {}
    if arguments is None:
        if heartbeat_seconds is not None:
            raise UserError(
                f"--heartbeat-seconds: got {heartbeat_seconds}; expected none, since this process has no others"
            )
        return None
    return {**arguments, "heartbeat_timeout_seconds": heartbeat_seconds or HEARTBEAT_SECONDS}


def _told(coordinator: str | None, num_processes: int | None, process_id: int | None) -> dict[str, Any] | None:
    told = {"--coordinator": coordinator, "--num-processes": num_processes, "--process-id": process_id}
    given = [option for option, value in told.items() if value is not None]
    if not given or (given == ["--num-processes"] and num_processes == 1):
        return None
    if coordinator is None or num_processes is None or process_id is None:
        raise UserError(
            f"{', '.join(given)}: got no {', '.join(option for option in told if option not in given)}; "
            "expected all three, "
            "or none of them under Slurm, Open MPI, Kubernetes or on TPUs"
        )
    if not 0 <= process_id < num_processes:
        raise UserError(
            f"--process-id: got {process_id}; expected 0 to {num_processes - 1}, since there are --num-processes "
            f"{num_processes}"
        )
    if not re.fullmatch(r".+:\d{1,5}", coordinator):
        raise UserError(
            f"--coordinator: got {coordinator}; expected HOST:PORT, a free port of the machine of process 0"
        )
    if num_processes == 1:
        return None
    return {
        "coordinator_address": coordinator,
        "num_processes": num_processes,
        "process_id": process_id,
        "cluster_detection_method": "deactivate",
    }


def launched_with_others(environment: Mapping[str, str]) -> bool:
    """Whether a launcher that JAX can ask started this process as one of several.

    A Slurm job of one task is not, nor is a script of `sbatch` itself: only the tasks of an `srun`. An indexed Job
    of Kubernetes and a Cloud TPU machine are always taken for one of several, since only JAX can ask how many.
    """

    def above_one(name: str) -> bool:
        return environment.get(name, "").isdigit() and int(environment[name]) > 1

    return (
        ("SLURM_PROCID" in environment and above_one("SLURM_STEP_NUM_TASKS"))
        or ("OMPI_MCA_orte_hnp_uri" in environment and above_one("OMPI_COMM_WORLD_SIZE"))
        or ("KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment)
        or environment.get("TPU_ML_PLATFORM") == "JAX"  # set by JAX itself when it finds a Cloud TPU
    )


@contextmanager
def joined(arguments: Mapping[str, Any] | None) -> Iterator[None]:
    """Meets the other processes of the run, and parts from them at the end, when all are there.

    A process that fails inside parts from nobody: it ends, and the others notice by the broken connection or by the
    silence of its heartbeats. Afterwards this process can compute on, alone.

    Raises:
        MachineError: another process was lost while this one needed it.
    """
    if arguments is None:
        yield
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM away from `Interruption`
    explanation = _ExplainedAbort(
        "this process cannot reach the others; start all of them with the same --coordinator and --num-processes"
    )
    with _results_alone_on_stdout():
        try:
            jax.distributed.initialize(**arguments)
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"the processes of this run cannot meet ({error}); tell --coordinator, --num-processes and "
                "--process-id, or --num-processes 1 to run alone"
            ) from error
        try:
            jax.devices()  # now, while all are here: who comes two minutes late would not be waited for
            explanation.text = LOST
            yield
        except Exception as error:
            is_lost = not isinstance(error, IcrlError) and _OF_THE_RUNTIME.search(str(error))
            _leave_at_exit(getattr(error, "exit_code", 1))
            if is_lost:
                raise MachineError(LOST) from error
            raise
        except KeyboardInterrupt:  # agreed upon: the others are on their way here
            jax.distributed.shutdown()
            explanation.withdraw()
            raise
        jax.distributed.shutdown()
        explanation.withdraw()


class Peers:
    """The processes of a run, which share the devices of its mesh; for a process alone its methods cost nothing.

    But for `is_first`, each is a collective: all processes have to call it, at the same point.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._is_alone = jax.process_count() == 1
        self.any(False)  # connects them now: Gloo gives them 30 s, and waits patiently only then

    @property
    def is_first(self) -> bool:
        """Whether this process keeps the run directory."""
        return jax.process_index() == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self._is_alone else bool(np.any(self.all_gather(self._one_row_each(np.array([flag])))))

    def all_gather(self, state: PyTree) -> PyTree:
        """The state with the seeds and rows of all processes, on every device."""
        if self._is_alone:
            return state
        return jax.jit(_unchanged, out_shardings=NamedSharding(self._mesh, PartitionSpec()))(state)

    def shard(self, state: PyTree, sharding: PyTree) -> PyTree:
        """A state that all processes hold, shared over the devices of all of them: each one places its part."""
        if self._is_alone:
            return jax.device_put(state, sharding)

        def place(sharding: NamedSharding, part: PyTree) -> PyTree:
            return jax.tree.map(lambda x: jax.make_array_from_callback(x.shape, sharding, x.__getitem__), part)

        return jax.tree.map(place, sharding, state)

    def broadcast(
        self, restore: Callable[[PyTree], tuple[int, PyTree] | None] | None, template: PyTree
    ) -> tuple[int, PyTree] | None:
        """The update and state that the first process restores, bit for bit in all; the others' ``restore`` is None."""
        restored = restore(template) if restore else None
        if self._is_alone or not self.any(restored is not None):
            return restored
        shapes = [jax.ShapeDtypeStruct((), np.int32), *jax.tree.leaves(template)]
        sizes = [math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in shapes]
        # As bytes, which are the same after a sum with zeros; -0.0 and NaN are not.
        content = np.zeros(sum(sizes), np.uint8)
        if restored is not None:
            update, state = restored
            leaves = [np.int32(update), *jax.device_get(jax.tree.leaves(state))]
            content = np.frombuffer(b"".join(np.asarray(leaf).tobytes() for leaf in leaves), np.uint8)
        of_first = jax.jit(lambda rows: rows[0], out_shardings=NamedSharding(self._mesh, PartitionSpec()))
        sent = np.asarray(of_first(self._one_row_each(content[None])))
        pieces = np.split(sent, np.cumsum(sizes)[:-1])
        update, *arrays = (part.view(leaf.dtype).reshape(leaf.shape) for part, leaf in zip(pieces, shapes, strict=True))
        return int(update), jax.tree.unflatten(jax.tree.structure(template), arrays)

    def _one_row_each(self, row: np.ndarray) -> jax.Array:
        """An array with one row a device, each from its own process; ``row`` has a leading axis of 1."""
        by_device = NamedSharding(self._mesh, PartitionSpec(self._mesh.axis_names))
        return jax.make_array_from_callback((self._mesh.size, *row.shape[1:]), by_device, lambda _: row)


def _unchanged(tree: PyTree) -> PyTree:
    return tree


@contextmanager
def _results_alone_on_stdout() -> Iterator[None]:
    """Sends to stderr what is printed meanwhile: Gloo reports its connections on stdout, which is for results."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)


class _ExplainedAbort:
    """Lets an abort of JAX's runtime, its answer to a lost process, end with a message of ours and exit code 1.

    The runtime takes no handler from Python, and a handler of Python's own would run too late: abort() does not wait
    for it. So this one is C's.
    """

    _kept: ClassVar[list[Any]] = []  # for good: C's pointer to a handler does not keep it alive

    def __init__(self, text: str) -> None:
        self.text = text
        handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._end)
        self._kept.append(handler)
        self._set = ctypes.CDLL(None).signal
        self._set.argtypes, self._set.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
        self._set(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))

    def withdraw(self) -> None:
        """Leaves aborts to the system again."""
        self._set(signal.SIGABRT, None)

    def _end(self, number: int) -> None:
        os.write(2, f"icrl: JAX's runtime gave up, for the reason above: {self.text}\n".encode())
        os._exit(MachineError.exit_code)


def _leave_at_exit(code: int) -> None:
    """Ends this process, once it has said why, before JAX would wait for others who wait for it."""

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if jax.process_index() == 0:
            time.sleep(1)  # the others' runtime ends with this process: time to say what they have to say
        os._exit(code)

    atexit.register(leave)
