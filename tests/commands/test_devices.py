"""Which devices share a run's seeds and rows."""

from types import SimpleNamespace

import pytest

from icrl.commands.devices import count_cores_as_devices, shared_equally
from icrl.errors import UserError
from icrl.launch.machine import cores
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import load_experiment
from tests.commands.runs import TINY


def spec(num_rows: int = 16, num_seeds: int = 1) -> ExperimentSpec:
    """One task in two minibatches."""
    return load_experiment(str(TINY), overrides=[f"num_rows={num_rows}"], num_seeds=num_seeds)


def devices(*of_each: int) -> list[SimpleNamespace]:
    """Devices of processes in the order in which a runtime may list them."""
    found = [SimpleNamespace(process_index=process, id=id) for process, n in enumerate(of_each) for id in range(n)]
    return found[::-1]


def chosen(*of_each: int, requested: str | None = None, num_rows: int = 16, num_seeds: int = 1) -> list[int]:
    """The processes that the chosen devices belong to."""
    return [device.process_index for device in shared_equally(spec(num_rows, num_seeds), requested, devices(*of_each))]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, [("jax_num_cpu_devices", cores())]),
        ({"JAX_NUM_CPU_DEVICES": "3"}, []),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}, []),
    ],
)
def test_a_core_is_a_device_unless_the_environment_says_otherwise(environment, expected, monkeypatch):
    for name in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    updates: list[tuple[str, int]] = []
    monkeypatch.setattr("jax.config.update", lambda *update: updates.append(update))
    count_cores_as_devices()
    assert updates == expected


@pytest.mark.parametrize("requested", [None, "all"])
def test_as_many_devices_as_can_share_the_rows_are_taken_of_every_process(requested: str | None):
    assert chosen(3, requested=requested) == [0, 0]
    assert chosen(4, 4, requested=requested) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert chosen(3, 3, requested=requested) == [0, 0, 1, 1]


def test_seeds_are_shared_too():
    assert chosen(3, num_seeds=3) == [0, 0, 0]
    assert chosen(6, num_seeds=3) == [0] * 6  # two devices a seed
    assert chosen(5, num_seeds=3) == [0] * 4  # two rows of each seed a device
    assert chosen(1, 1, 1, num_seeds=3) == [0, 1, 2]


def test_a_number_of_devices_is_that_of_each_process():
    assert chosen(4, requested="2") == [0, 0]
    assert chosen(2, 2, requested="1") == [0, 1]


@pytest.mark.parametrize(
    ("of_each", "requested", "complaint"),
    [
        ((2,), "3", "--devices: got 3; expected all or one of 1, 2: there are 2, and 16 rows a task in 2 minibatches"),
        ((2, 2), "none", "--devices: got none; expected all or one of 1, 2: there are 2 in each of 2 processes, and"),
        ((1, 1, 1), None, "--num-processes: got 3; expected a divisor of 8: 16 rows a task in 2 minibatches"),
        ((2, 1), None, "--num-processes: got processes with 1 and with 2 devices; expected as many in each"),
    ],
)
def test_rows_that_cannot_be_shared_equally_are_refused(of_each: tuple[int, ...], requested: str, complaint: str):
    with pytest.raises(UserError) as caught:
        chosen(*of_each, requested=requested)
    assert str(caught.value).startswith(complaint)
    assert caught.value.exit_code == 2


def test_a_refusal_names_the_seeds():
    with pytest.raises(UserError, match="expected all or one of 1, 3: there are 5, and 3 seeds of 2 rows a task in 2"):
        chosen(5, requested="5", num_rows=2, num_seeds=3)
