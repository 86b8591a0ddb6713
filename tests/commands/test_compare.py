"""`icrl compare` on runs as `icrl train` leaves them: finished, on their way, and what is none."""

import shutil
from pathlib import Path

import pytest

from icrl.runs.directory import EVALUATION
from tests.commands.conftest import Finished
from tests.commands.runs import icrl, train


@pytest.fixture
def runs(finished: Finished) -> list[Path]:
    """A finished run, and one of another model whose evaluation is still to come."""
    shutil.copytree(finished.path, "runs/s5")
    assert train(Path("runs/mlp"), "--model", "mlp", "total_env_steps=256").exit_code == 0
    Path("runs/mlp", EVALUATION).unlink()
    return [Path("runs/s5"), Path("runs/mlp")]


def test_runs_are_put_side_by_side(runs: list[Path]):
    done = icrl("compare", *runs)
    assert done.exit_code == 0, done.stderr
    folder = Path("results/compare")
    assert done.stdout.splitlines()[-4:] == [
        f"{folder}/learning.png", f"{folder}/adaptation.png", f"{folder}/tasks.png", f"{folder}/comparison.md"
    ]  # fmt: skip
    assert "| S5 | tiny cpu | s5 | 0 | done | 512 | " in done.stdout
    assert "| MLP (memoryless) | tiny cpu | mlp | 0 | done | 256 | " in done.stdout
    assert "Not evaluated yet: mlp." in done.stdout
    assert "| `total_env_steps` | 512 | 256 |" in done.stdout
    assert "](learning.png)" in (folder / "comparison.md").read_text()


def test_one_run_alone_is_shown_too_where_it_is_told(runs: list[Path]):
    done = icrl("compare", runs[1], "--out", "there")
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in Path("there").iterdir()) == ["comparison.md", "learning.png"]


def test_what_is_no_run_is_refused(runs: list[Path], tmp_path: Path):
    for arguments, message in (
        (["nowhere"], "nowhere: got nothing there; expected a run directory, made by `icrl train`"),
        ([*runs, runs[0]], "runs/s5: got twice; expected every run once"),
        ([tmp_path], f"{tmp_path}: got no manifest.json in it; expected a run directory"),
    ):
        done = icrl("compare", *arguments)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"icrl compare: {message}")
    (runs[0] / EVALUATION).write_text("{}")
    damaged = icrl("compare", *runs)
    assert damaged.exit_code == 2 and f"{runs[0]}/evaluation.json: experiment: got nothing" in damaged.stderr
    assert not Path("results").exists()
