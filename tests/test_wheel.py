"""The wheel holds all that `icrl` needs: installed alone, in any folder, it has scores and a trained agent.

It is built as `python -m build` does: the sdist from the repository, the wheel from the sdist.
"""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import icrl

ROOT = Path(__file__).parents[1]


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(list(map(str, command)), env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_wheel_scores_its_pretrained_agent_in_an_empty_folder(tmp_path: Path, monkeypatch):
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", ROOT)
    wheel, sdist = (tmp_path / "dist" / f"icrl-{icrl.__version__}{end}" for end in ("-py3-none-any.whl", ".tar.gz"))
    assert sorted((tmp_path / "dist").iterdir()) == [wheel, sdist]
    assert wheel.stat().st_size < 2**21
    assert sdist.stat().st_size < 2**22
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "CHANGELOG.md", "LICENSE", "docs/task.svg", "tests/test_wheel.py"} <= held
    run(*pip, "install", "--no-deps", "--no-index", "--no-compile", "--target", tmp_path / "installed", wheel)

    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    installed = {"PYTHONPATH": str(tmp_path / "installed")}
    where = run(sys.executable, "-c", "import icrl; print(icrl.__file__)", **installed)
    assert Path(where.strip()).is_relative_to(tmp_path / "installed")
    few = ("--tasks", "train", "--episodes", 2, "environment.train=[reacher_spin]", "environment.held_out=[]")
    table = run(sys.executable, "-m", "icrl", "evaluate", "meta_brax-s5", *few, **installed)
    assert "score: 0 = better of random and do nothing, 1 = specialist" in table
    (record,) = Path().glob("results/runs/meta_brax-s5/evaluation.json")
    assert json.loads(record.read_text())["references"]["reacher_spin"]["specialist"] == 31.1905
    assert [path.name for path in (tmp_path / "installed").rglob("evaluation.json")] == []
