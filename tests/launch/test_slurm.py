"""Runs as jobs of a real Slurm, started here on loopback: done, failed, warned, requeued, cancelled, found again."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from icrl.errors import UserError
from icrl.launch import process
from icrl.launch.account import Account
from icrl.launch.cluster import JOB, run_in_queue
from icrl.launch.runs import Run, runs_of
from tests.commands.runs import (
    ROOT,
    STAND_IN,
    TINY,
    manifest,
    outcome,
    start_process,
    updates_saved,
)
from tests.launch.conftest import Grid
from tests.launch.slurm import CannotStart, running_slurm

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def configuration() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, ExitStack() as at_the_end:
        try:
            path = at_the_end.enter_context(running_slurm(Path(folder)))
        except CannotStart as reason:
            pytest.skip(f"no Slurm here: {reason}")
        yield path


@pytest.fixture(autouse=True)
def a_queue(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(configuration))


def once(condition: Callable[[], object], do: Callable[[], object]) -> threading.Thread:
    """Does something as soon as a condition holds, within two minutes."""

    def watch() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if condition():
                do()
                return
            time.sleep(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def when_it_runs(run: Run, do: Callable[[str], object]) -> threading.Thread:
    """Does something to a run's job, by its id, once that waits in the middle of its work."""
    job = run.directory / JOB
    return once(lambda: job.exists() and run.log.exists() and run.log.read_text(), lambda: do(job.read_text()))


def slurm(*command: str) -> Callable[[str], object]:
    """Runs one of Slurm's programs on a job."""
    return lambda job: subprocess.run([*command, job], check=True)


def calls_of(name: str, calls: list[str]) -> int:
    return len([call for call in calls if name in call])


def test_one_array_of_jobs_each_of_which_ends_in_its_own_way(grid: Grid):
    """A failed one stops no other; what is warned, or requeued, saves and goes on; what is cancelled is named."""
    names = {"fine": "a.yaml --model s5", "failing": "a.yaml --model gru", "warned": "b.yaml"}
    names |= {"requeued": "c.yaml", "cancelled": "d.yaml"}
    grid.specs += ["c.yaml", "d.yaml"]
    for spec in ("c.yaml", "d.yaml"):
        grid.write(spec, models=["s5"])
    grid.act(FAIL=names["failing"], HOLD="b.yaml c.yaml d.yaml")
    runs = grid.runs()
    *_, warned, requeued, cancelled = runs
    threads = [
        when_it_runs(warned, slurm("scancel", "--signal=USR2")),
        when_it_runs(requeued, slurm("scontrol", "requeue")),
        when_it_runs(cancelled, slurm("scancel")),
    ]
    account = Account(len(runs))
    run_in_queue(runs, account)
    for thread in threads:
        thread.join()
    failures = {failure.what: failure.why for failure in account.failures}
    gru, d = runs[1].command, cancelled.command
    assert failures.keys() == {gru, d}
    assert failures[gru] == "exit code 2"
    assert "left the queue unfinished" in failures[d]
    assert [run for run in runs if run.finished()] == [run for run in runs if run.command not in failures]
    calls = grid.calls()
    assert {what: calls_of(name, calls) for what, name in names.items()} == {
        "fine": 1, "failing": 1, "warned": 2, "requeued": 2, "cancelled": 1,
    }  # fmt: skip
    assert calls.count("checkpoint") == 3
    assert len({(run.directory / JOB).read_text().partition("_")[0] for run in runs}) == 1


def test_an_interrupted_launcher_finds_its_jobs_in_the_queue_again(grid: Grid, capsys: pytest.CaptureFixture[str]):
    runs = grid.runs()
    grid.act(HOLD="b.yaml")
    thread = when_it_runs(runs[-1], lambda job: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        run_in_queue(runs, Account(len(runs)))
    thread.join()
    assert "`scancel" in capsys.readouterr().err
    missing = [run for run in runs if not run.finished()]
    (grid.folder / "released").touch()
    account = Account(len(missing))
    run_in_queue(missing, account)
    assert account.failures == []
    assert "b cpu s5: is in the queue as job " in capsys.readouterr().err
    calls = grid.calls()
    assert sorted(calls) == sorted(" ".join(run.arguments) for run in runs)


def test_what_the_queue_refuses_is_said_once(grid: Grid, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")
    with pytest.raises(UserError, match=r"(?s)sbatch refused the jobs: .*partition.*SBATCH_ACCOUNT"):
        run_in_queue(grid.runs(), Account(3))


def test_a_run_warned_in_the_middle_of_its_training_ends_where_an_undisturbed_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "ICRL", (sys.executable, "-m", STAND_IN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    spec = yaml.safe_load(TINY.read_text()) | {"total_env_steps": 2048, "wandb": "disabled"}
    Path("long.yaml").write_text(yaml.safe_dump(spec | {"models": {"s5": spec["models"]["s5"]}}, sort_keys=False))
    [run] = runs_of("long.yaml", "cpu")

    job = run.directory / JOB
    thread = once(lambda: updates_saved(run.directory), lambda: slurm("scancel", "--signal=USR2")(job.read_text()))
    account = Account(1)
    run_in_queue([run], account)
    thread.join()
    assert account.failures == []
    assert (manifest(run.directory)["status"], manifest(run.directory)["num_resumes"]) == ("done", 1)
    assert "icrl train: interrupted" in run.log.read_text()

    alone = start_process(STAND_IN, *run.arguments, "--devices", 1, "--out", "alone")
    assert alone.wait(timeout=300) == 0
    assert outcome(run.directory) == outcome(Path("alone"))
