"""The tiny spec on real physics, by the command that a user types."""

import signal
import time
from pathlib import Path

from tests.commands.runs import TINY, manifest, newest_state, numbers, start_process, updates_saved


def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def start(out: Path):
        return start_process("icrl", "train", TINY, "--out", out, "--wandb", "disabled")

    def finish(process) -> str:
        stdout, stderr = process.communicate(timeout=600)
        assert process.returncode == 0, stderr
        return stdout

    table = finish(start(whole))
    assert "cartpole_side" in table
    assert "warp" not in table  # MuJoCo prints that it is missing, on import

    process = start(killed)
    while not updates_saved(killed) and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert manifest(killed)["status"] == "running"

    finish(start(killed))
    assert numbers(killed) == numbers(whole)
    assert newest_state(killed) == newest_state(whole)
    assert manifest(killed)["num_resumes"] == 1
