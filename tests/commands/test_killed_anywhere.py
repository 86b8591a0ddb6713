"""Killed at moments that nobody chose, a run resumes bit for bit; without a network it trains, and keeps no secret."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands.conftest import Finished
from tests.commands.runs import ROOT, STAND_IN, TINY, manifest, outcome, start_process

NUM_KILLS = 30
KEY = "0123456789abcdef" * 2 + "icrltest"
"""As long as W&B's keys are."""


def seconds_of_a_whole_run(run: Path) -> float:
    started = time.monotonic()
    process = start_process(STAND_IN, "train", TINY, "--out", run, "--wandb", "disabled")
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    return time.monotonic() - started


@pytest.mark.slow
def test_a_run_killed_at_30_random_moments_is_the_uninterrupted_one(finished: Finished, tmp_path: Path):
    """Moments are even over a whole run: start-up, compiling, chunks, checkpoints, evaluation."""
    whole = seconds_of_a_whole_run(tmp_path / "whole")
    draw, run, kills, ends = random.Random(0), tmp_path / "run", 0, 0
    while kills < NUM_KILLS:
        process = start_process(STAND_IN, "train", TINY, "--out", run, "--wandb", "disabled")
        try:
            _, stderr = process.communicate(timeout=draw.uniform(0.0, whole))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            _, stderr = process.communicate()
        assert "Traceback" not in stderr and "cannot be read" not in stderr, stderr
        if process.returncode == -signal.SIGKILL:
            kills += 1
            continue
        assert process.returncode == 0, stderr
        ends += 1
        assert outcome(run) == outcome(finished.path)
        shutil.rmtree(run)
    process = start_process(STAND_IN, "train", TINY, "--out", run, "--wandb", "disabled")
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    assert manifest(run)["status"] == "done"
    assert outcome(run) == outcome(finished.path)


def without_network() -> list[str]:
    """The start of a command that runs in a network namespace without interfaces, or [] where none can be made."""
    command = ["unshare", "--net"]
    try:
        done = subprocess.run([*command, "true"], capture_output=True)
    except FileNotFoundError:
        return []
    return command if done.returncode == 0 else []


def test_a_run_needs_no_network_and_leaves_no_key_anywhere(finished: Finished, tmp_path: Path):
    run, home = tmp_path / "run", tmp_path / "home"
    home.mkdir()
    isolated = without_network()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "HOME": str(home),
        "WANDB_API_KEY": KEY,
        # where namespaces are not allowed: whoever honours proxies reaches nothing
        **({} if isolated else {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}),
    }
    done = subprocess.run(
        [*isolated, sys.executable, "-m", STAND_IN, "train", str(TINY), "--out", str(run)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert "W&B failed" not in done.stderr and list(run.glob("wandb/offline-run-*/*.wandb"))
    assert outcome(run) == outcome(finished.path)
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(written) > 20
    assert [file for file in written if KEY.encode() in file.read_bytes()] == []
    assert KEY not in done.stdout + done.stderr
