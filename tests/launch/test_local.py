"""Runs on this machine: side by side where they fit, and none stops another."""

import os
from pathlib import Path

import pytest

from icrl.launch import machine
from icrl.launch.account import Account
from icrl.launch.local import Capacity, run_here
from icrl.launch.machine import Machine
from icrl.spec.experiment import ResourcesSpec
from tests.launch.conftest import Grid

LARGE = Machine(cores=2, memory_gb=100, has_accelerator=False)
RUN = ResourcesSpec(cpus=2, memory_gb=3)


def launch(grid: Grid, machine: Machine = LARGE, jobs: int | None = None) -> Account:
    runs = grid.runs()
    account = Account(len(runs))
    run_here(runs, account, Capacity(machine, jobs))
    return account


def test_every_run_is_made_by_its_own_command_and_says_what_it_says_in_its_directory(grid: Grid):
    assert launch(grid).failures == []
    assert sorted(grid.calls()) == sorted(" ".join(run.arguments) for run in grid.runs())
    for run in grid.runs():
        assert run.log.read_text() == f"said by {' '.join(run.arguments)} --devices 1\n"


def test_runs_are_side_by_side_where_cores_and_memory_allow(grid: Grid):
    grid.act(MEET="a.yaml")
    assert launch(grid).failures == []


@pytest.mark.parametrize(
    ("machine", "jobs"),
    [
        (Machine(cores=1, memory_gb=100, has_accelerator=False), None),
        (Machine(cores=16, memory_gb=7, has_accelerator=False), None),
        (Machine(cores=16, memory_gb=100, has_accelerator=True), None),
        (LARGE, 1),
    ],
    ids=["one core", "memory for one", "one accelerator for all", "one wanted"],
)
def test_runs_wait_for_one_another_where_only_one_fits(machine: Machine, jobs: int | None, grid: Grid):
    grid.act(ALONE="train")
    assert launch(grid, machine, jobs).failures == []
    assert len(grid.calls()) == 3


def test_a_run_larger_than_the_machine_still_gets_its_turn():
    assert Capacity(Machine(cores=1, memory_gb=1, has_accelerator=False)).has_room(RUN, [])


@pytest.mark.parametrize(("cores", "devices"), [(1, 1), (2, 2), (3, 2), (8, 4)])
def test_a_run_is_given_as_many_devices_as_there_are_and_can_share_it(grid: Grid, cores: int, devices: int):
    grid.write("a.yaml", models=["s5"], num_rows=8, resources={"cpus": 6})
    (run,) = grid.runs()[:1]
    assert run.experiment.equal_shares == 4
    launch(grid, Machine(cores=cores, memory_gb=100, has_accelerator=False))
    assert run.log.read_text().endswith(f"--devices {devices}\n")


def test_a_machine_that_says_neither_what_is_free_nor_what_is_granted_counts_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "none")
    here = Machine.here()
    assert here.cores == os.cpu_count()
    assert 0.1 < here.memory_gb < 1e5


@pytest.mark.parametrize(("taken", "fits"), [(1, True), (2, False)])
def test_what_runs_want_adds_up(taken: int, fits: bool):
    machine = Machine(cores=4, memory_gb=8, has_accelerator=False)
    assert Capacity(machine).has_room(RUN, [RUN] * taken) == fits


def test_an_accelerator_is_left_whole_to_a_run(grid: Grid):
    launch(grid, Machine(cores=1, memory_gb=8, has_accelerator=True))
    assert {run.log.read_text().split()[-1] for run in grid.runs()} == {"all"}


def test_a_failure_is_remembered_with_its_exit_code_and_log_and_does_not_stop_the_rest(
    grid: Grid, capsys: pytest.CaptureFixture[str]
):
    grid.act(FAIL="--model gru")
    (failure,) = launch(grid).failures
    log = "results/runs/a/cpu/gru/seed0/train.log"
    assert str(failure) == f"icrl train a.yaml --model gru --scale cpu: exit code 2, log {log}"
    assert Path(log).exists()
    assert len(grid.calls()) == 3
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if ": started, log " in line]) == 3
    assert sorted(line.partition(":")[0] for line in said if ": done after" in line) == ["a cpu s5", "b cpu s5"]
    assert len([line for line in said if line.startswith("a cpu gru: failed after ")]) == 1
    assert said[-1].partition(" (")[2].startswith("3 of 3)")


def test_a_run_that_cannot_start_does_not_stop_the_rest(grid: Grid):
    blocked = grid.runs()[0].directory
    blocked.parent.mkdir(parents=True)
    blocked.touch()
    (failure,) = launch(grid).failures
    assert str(blocked) in failure.why
    assert len(grid.calls()) == 2


def test_an_interruption_ends_all_runs_after_they_wrote_a_checkpoint(grid: Grid):
    grid.act(WARN="a.yaml --model s5", SIGNAL="SIGTERM")
    with pytest.raises(KeyboardInterrupt):
        launch(grid, jobs=1)
    assert grid.calls() == ["train a.yaml --model s5 --scale cpu", "checkpoint"]


def test_this_machine_has_cores_and_memory():
    here = Machine.here()
    assert 1 <= here.cores <= (os.cpu_count() or 1)
    assert 0 < here.memory_gb < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
