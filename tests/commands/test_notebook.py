"""`icrl train` from a notebook: as a function in its kernel, and as a command."""

import json
import os
import sys
from pathlib import Path

import pytest

from icrl.runs import provenance
from tests.commands.runs import ROOT
from tests.outside import ENVIRONMENT, MODEL

SPEC = """
environment: {suite: "my_envs:Walk", train: [right], trial_steps: 4, trials_per_episode: 2, projection: null}
models: {mine: {kind: "my_models:DecaySpec", width: 4}}
num_rows: 4
total_env_steps: 128
updates_per_chunk: 2
policy: {encoder: [8], heads: [8]}
learner: {kind: ppo, rollout_steps: 8, num_epochs: 1, num_minibatches: 2}
evaluation: {episodes_per_task: 2}
wandb: disabled
scales: {smoke: {}}
"""


def test_a_kernels_own_words_are_no_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["/env/lib/ipykernel_launcher.py", "-f", "/tmp/kernel.json"])
    assert provenance.command_line() == ["icrl", "in", "a", "notebook"]
    monkeypatch.setattr(sys, "argv", ["/env/bin/icrl", "train", "meta_brax"])
    assert provenance.command_line() == ["icrl", "train", "meta_brax"]


def test_a_notebook_trains_in_its_kernel_and_by_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for name, source in (("my_models.py", MODEL), ("my_envs.py", ENVIRONMENT), ("mine.yaml", SPEC)):
        (tmp_path / name).write_text(source)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    cells = (
        "from icrl.commands.train import train\ntrain('mine.yaml')",
        f"!{sys.executable} -m icrl train mine.yaml --seed 1 --verbose",
        "import icrl\nprint(*icrl.load('results/runs/mine/smoke/mine/seed1').tasks)",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    nbclient.NotebookClient(notebook, timeout=500, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in notebook.cells]
    texts = ["".join(one.get("text", "") or one["data"]["text/plain"] for one in of_cell) for of_cell in outputs]
    assert "compiling took" in texts[0] and "128 of 128 env steps" in texts[0] and "evaluating took" in texts[0]
    assert "results/runs/mine/smoke/mine/seed1/mine-smoke-bars.png" in texts[1]
    assert texts[2] == "right\n"
    manifest = json.loads(Path("results/runs/mine/smoke/mine/seed0/manifest.json").read_text())
    assert (manifest["status"], manifest["command"]) == ("done", "icrl in a notebook")
