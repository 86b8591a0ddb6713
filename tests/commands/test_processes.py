"""Two processes on loopback, a device each, train what one process with two devices trains, and end together."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from icrl.runs.directory import EVALUATION
from icrl.runs.processes import LOST
from tests.commands.conftest import Finished
from tests.commands.runs import (
    STAND_IN,
    TINY,
    icrl,
    manifest,
    numbers,
    outcome,
    start_process,
    train,
    updates_saved,
)

SELDOM = "checkpoint.every_seconds=1e9"
HEARTBEAT_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    exit_code: int
    stdout: str
    stderr: str


@contextmanager
def two_processes(
    run: Path, *arguments: object, signals: dict[int, str] | None = None, heartbeat_seconds: int = HEARTBEAT_SECONDS
) -> Iterator[list[subprocess.Popen[str]]]:
    """Train the tiny spec; ``signals`` says of a process what it is to send itself and when."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        start_process(
            STAND_IN,
            *("train", TINY, "--out", run, "--wandb", "disabled", *arguments),
            *("--coordinator", f"127.0.0.1:{port}", "--num-processes", 2, "--process-id", process_id),
            *("--heartbeat-seconds", heartbeat_seconds),
            JAX_NUM_CPU_DEVICES="1",
            SIGNAL=(signals or {}).get(process_id, ""),
        )
        for process_id in range(2)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def end_of(process: subprocess.Popen[str]) -> Ended:
    stdout, stderr = process.communicate(timeout=300)
    return Ended(process.returncode, stdout, stderr)


def train_in_two_processes(run: Path, *arguments: object, signals: dict[int, str] | None = None) -> list[Ended]:
    with two_processes(run, *arguments, signals=signals) as processes:
        return [end_of(process) for process in processes]


def test_two_processes_stop_and_resume_together_and_do_what_one_with_two_devices_does(
    finished: Finished, tmp_path: Path
):
    run = tmp_path / "run"
    for ended in train_in_two_processes(run, SELDOM, signals={1: f"3 {signal.SIGTERM:d}"}):
        assert ended.exit_code == 130, ended.stderr
        assert ended.stderr.endswith("icrl train: interrupted\n")
        assert ended.stdout == ""
    assert (updates_saved(run), manifest(run)["status"]) == ([6], "interrupted")
    assert numbers(run) == numbers(finished.path)[:3]

    first, second = train_in_two_processes(run, SELDOM)
    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    assert "devices      2 x cpu in 2 processes\n" in first.stderr
    assert "resuming     from update 6 of 16\n" in first.stderr
    assert outcome(run) == outcome(finished.path)
    assert (manifest(run)["status"], manifest(run)["num_resumes"]) == ("done", 1)
    # The second keeps and shows nothing.
    assert second.stdout == "" and "env steps" not in second.stderr
    # Nor does what the runtime reports come among the results.
    assert first.stdout.splitlines()[1:] == finished.stdout.replace(str(finished.path), str(run)).splitlines()[1:]
    assert (run / EVALUATION).is_file()


@pytest.mark.parametrize("killed", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_when_a_process_is_killed_the_other_ends_with_a_message_and_the_run_resumes(
    killed: int, finished: Finished, tmp_path: Path
):
    run = tmp_path / "run"
    ended = train_in_two_processes(run, signals={killed: f"3 {signal.SIGKILL:d}"})
    survivor = ended[1 - killed]
    assert ended[killed].exit_code == -signal.SIGKILL
    assert (survivor.exit_code, survivor.stdout) == (1, "")
    # Not always the last line: the runtime's own report, from a thread of its own, may come after it.
    assert any(line.endswith(LOST) for line in survivor.stderr.splitlines())
    assert numbers(run) == numbers(finished.path)[: len(numbers(run))]
    assert updates_saved(run)

    shutil.copytree(run, tmp_path / "with one device")
    assert train(run).exit_code == 0
    assert numbers(run) == numbers(finished.path)
    if killed == 1:
        assert train(tmp_path / "with one device", "--devices", 1).exit_code == 0
        for line, expected in zip(numbers(tmp_path / "with one device"), numbers(finished.path), strict=True):
            np.testing.assert_allclose(list(line.values()), list(expected.values()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("silent", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_process_that_falls_silent_is_given_up_when_its_heartbeats_stop(silent: int, tmp_path: Path):
    signals = {silent: f"3 {signal.SIGSTOP:d}"}
    with two_processes(tmp_path / "run", SELDOM, signals=signals, heartbeat_seconds=10) as processes:
        survivor = end_of(processes[1 - silent])
        assert processes[silent].poll() is None
    assert (survivor.exit_code, survivor.stdout) == (1, "")
    assert any(line.endswith(LOST) for line in survivor.stderr.splitlines())


def test_two_processes_with_a_seed_each_do_what_one_device_does_with_both(tmp_path: Path):
    arguments = ("--num-seeds", 2, "total_env_steps=128")
    first, second = train_in_two_processes(tmp_path / "two", *arguments)
    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    assert train(tmp_path / "one", *arguments, "--devices", 1).exit_code == 0
    assert outcome(tmp_path / "two") == outcome(tmp_path / "one")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--num-processes", 2), "--num-processes: got no --coordinator, --process-id; expected all three"),
        (("--coordinator", "host:1234", "--process-id", 0), "got no --num-processes; expected all three"),
        (
            ("--coordinator", "host:1234", "--num-processes", 2, "--process-id", 2),
            "--process-id: got 2; expected 0 to 1",
        ),
        (
            ("--coordinator", "host", "--num-processes", 2, "--process-id", 0),
            "--coordinator: got host; expected HOST:PORT",
        ),
        (("--num-processes", 0), "expected a whole number from 1"),
        (("--process-id", "first"), "expected a whole number from 0"),
        (("--heartbeat-seconds", 0), "expected a whole number from 1"),
    ],
)
def test_processes_told_wrongly_are_refused_before_anything_starts(
    arguments: tuple[object, ...], complaint: str, tmp_path: Path
):
    done = icrl("train", TINY, "--out", tmp_path / "run", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert not (tmp_path / "run").exists()
