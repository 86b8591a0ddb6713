"""The tiny spec on real physics, by the command that a user types."""

import signal
import subprocess
import time
from pathlib import Path

from tests.commands.runs import TINY, manifest, newest_state, numbers, start_process, updates_saved


def start(out: Path) -> subprocess.Popen[str]:
    return start_process("icrl", "train", TINY, "--out", out, "--wandb", "disabled")


def finish(process: subprocess.Popen[str]) -> str:
    """What a process prints that succeeds."""
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    return stdout


def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed, process = start(whole), start(killed)  # side by side: each takes a core's time to compile
    while not updates_saved(killed) and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert manifest(killed)["status"] == "running"
    finish(start(killed))

    table = finish(undisturbed)
    assert "cartpole_side" in table
    assert "warp" not in table  # MuJoCo prints that it is missing, on import
    assert numbers(killed) == numbers(whole)
    assert newest_state(killed) == newest_state(whole)
    assert manifest(killed)["num_resumes"] == 1
