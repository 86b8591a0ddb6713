"""Whether a process has others beside it, and what each of them gets to know."""

import jax
import jax.numpy as jnp
import pytest

from icrl.errors import UserError
from icrl.learners.devices import mesh_of
from icrl.runs.processes import (
    HEARTBEAT_SECONDS,
    Peers,
    initialize_arguments,
    joined,
    launched_with_others,
)

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "a,b",
    "SLURM_LOCALID": "0",
    "SLURM_PROCID": "1",
    "SLURM_NTASKS": "2",
    "SLURM_STEP_NUM_TASKS": "2",
}


@pytest.mark.parametrize(
    "environment",
    [
        SLURM,
        {"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1", "OMPI_COMM_WORLD_SIZE": "2"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"},
        {"TPU_ML_PLATFORM": "JAX"},
    ],
    ids=["slurm", "open_mpi", "kubernetes", "tpu"],
)
def test_what_a_launcher_started_with_others_asks_jax_for_its_place(environment: dict[str, str]):
    assert launched_with_others(environment)
    assert initialize_arguments(None, None, None, None, environment) == {"heartbeat_timeout_seconds": HEARTBEAT_SECONDS}
    assert initialize_arguments(None, None, None, 30, environment) == {"heartbeat_timeout_seconds": 30}
    assert initialize_arguments(None, 1, None, None, environment) is None


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {**SLURM, "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"},
        {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
        {"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1", "OMPI_COMM_WORLD_SIZE": "1"},
    ],
    ids=["laptop", "slurm_task_of_one", "sbatch_script", "kubernetes_pod", "open_mpi_of_one"],
)
def test_a_process_alone_starts_nothing(environment: dict[str, str]):
    assert initialize_arguments(None, None, None, None, environment) is None
    with joined(None):
        assert not jax.distributed.is_initialized()


def test_what_is_told_comes_before_what_a_launcher_says():
    place = initialize_arguments("host:1234", 3, 2, 30, SLURM)
    assert place == {
        "coordinator_address": "host:1234",
        "num_processes": 3,
        "process_id": 2,
        "cluster_detection_method": "deactivate",
        "heartbeat_timeout_seconds": 30,
    }
    assert initialize_arguments("host:1234", 1, 0, None, SLURM) is None


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ((None, None, None, 30), "--heartbeat-seconds: got 30; expected none"),
        ((None, 1, None, 30), "--heartbeat-seconds: got 30; expected none"),
        (("host:1234", None, None), "--coordinator: got no --num-processes, --process-id"),
        ((None, 2, 1), "--num-processes, --process-id: got no --coordinator"),
        (("host:1234", 2, 2), "--process-id: got 2; expected 0 to 1"),
        (("host:1234", 1, 1), "--process-id: got 1; expected 0 to 0"),
        (("host", 2, 0), "--coordinator: got host; expected HOST:PORT"),
        (("host:port", 2, 0), "--coordinator: got host:port; expected HOST:PORT"),
    ],
)
def test_a_place_told_wrongly_is_refused(told: tuple, complaint: str):
    with pytest.raises(UserError) as caught:
        initialize_arguments(*told, environment={})
    assert str(caught.value).startswith(complaint)


def test_alone_it_knows_what_all_know():
    peers, state = Peers(mesh_of(jax.devices())), {"x": jnp.arange(3.0)}
    assert peers.is_first
    assert [peers.any(flag) for flag in (False, True)] == [False, True]
    assert peers.all_gather(state) is state
    assert peers.broadcast(lambda template: (4, template), state) == (4, state)
    assert peers.broadcast(lambda template: None, state) is None
