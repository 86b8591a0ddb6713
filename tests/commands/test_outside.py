"""Runs of a model, an environment and a projection from outside icrl: trained, resumed, evaluated, loaded, checked."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import icrl as package
from icrl import plugins
from icrl.errors import SpecError
from tests.commands.runs import evaluated, icrl, manifest, updates_saved
from tests.outside import MODEL, forgotten, lay_out

SPEC = """
environment:
  suite: my_envs:Walk
  train: [right]
  held_out: [left]
  trial_steps: 4
  trials_per_episode: 2
  projection: {kind: "my_envs:SHUFFLE", observation_size: 3, action_size: 2}
models:
  mine: {kind: "my_models:DecaySpec", decay: 0.5}
num_rows: 4
total_env_steps: 128
updates_per_chunk: 2
policy: {encoder: [8], heads: [8]}
learner: {kind: ppo, rollout_steps: 8, num_epochs: 1, num_minibatches: 2}
evaluation: {episodes_per_task: 2}
wandb: disabled
scales: {smoke: {}}
"""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    with forgotten():
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the spec and the modules lie."""
    return lay_out(tmp_path, monkeypatch, SPEC)


def forget() -> None:
    """What a new process would not know."""
    for memory in (plugins._of_specs, plugins._of_runs, plugins._appended, plugins._names, plugins._used):
        memory.clear()
    for name in ("my_models", "my_envs"):
        sys.modules.pop(name, None)
    sys.path[:] = [folder for folder in sys.path if not folder.endswith("specs")]


def test_a_run_names_them_and_is_found_again_by_every_command(folder: Path, caplog: pytest.LogCaptureFixture):
    done = icrl("train", folder / "mine.yaml", "--out", "run")
    assert done.exit_code == 0, done.stderr
    run = Path("run")
    assert "kind: my_models:DecaySpec" in (run / "spec.yaml").read_text()
    named = {"my_envs:Walk", "my_envs:SHUFFLE", "my_models:DecaySpec"}
    assert manifest(run)["plugins"].keys() == named
    record = json.loads((run / "evaluation.json").read_text())
    assert record["plugins"].keys() == named and all(len(sha256) == 64 for sha256 in record["plugins"].values())
    assert record["model"] == "mine" and record["rung"] == "my_envs:SHUFFLE"
    first = evaluated(run)

    forget()
    assert icrl("evaluate", run).exit_code == 0
    assert evaluated(run) == first

    forget()
    checkpoint = Path("alone") / str(updates_saved(run)[-1])
    shutil.copytree(run / "checkpoints" / checkpoint.name, checkpoint)
    agent = package.load(checkpoint)
    memory, action = agent.act(agent.initial_memory(1), jnp.zeros((1, 3 + 3 + 2)), jnp.ones(1, bool))
    assert action.shape == (1, 2) and jax.tree.leaves(memory)[0].shape == (1, 8)

    forget()
    caplog.clear()
    (folder / "my_models.py").write_text(MODEL + "# a change\n")
    resumed = icrl("train", folder / "mine.yaml", "--out", "run", "total_env_steps=192")
    assert resumed.exit_code == 0, resumed.stderr
    assert manifest(run)["num_resumes"] == 1
    assert f"{folder}/my_models.py has changed since the run was trained with it" in caplog.text

    forget()
    other = icrl("train", folder / "mine.yaml", "--out", "run", "model.decay=0.25")
    assert other.exit_code == 2 and "model.decay: 0.5 -> 0.25" in other.stderr

    forget()
    (folder / "my_models.py").rename(folder / "my_older_models.py")
    for target in (run, checkpoint):
        gone = icrl("evaluate", target)
        assert gone.exit_code == 2
        assert "model.kind: got 'my_models:DecaySpec', but there is no module my_models; expected it in " in gone.stderr
        with pytest.raises(SpecError, match="there is no module my_models"):
            package.load(target)


def test_an_error_inside_a_module_from_outside_is_not_called_icrls(folder: Path):
    source = MODEL.replace("return state, nn.gelu(y)", "return state, nn.gelu(y) @ jnp.ones((3, 3))")
    (folder / "my_models.py").write_text(source)
    done = icrl("train", folder / "mine.yaml", "--out", "run")
    assert done.exit_code == 1
    line = 1 + source.splitlines().index("        return state, nn.gelu(y) @ jnp.ones((3, 3))")
    assert f"it was raised at {folder}/my_models.py, line {line}, which is none of icrl's; `icrl check`" in done.stderr


def test_check_says_what_holds_and_ends_with_2_where_something_does_not(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    for name, kind in (
        ("my_models:DecaySpec", "sequence model"),
        ("my_envs:Walk", "suite"),
        ("my_envs:SHUFFLE", "family of projections"),
    ):
        done = icrl("check", name)
        assert done.exit_code == 0, done.stderr
        first, *lines = done.stdout.splitlines()
        assert first == f"{name}, a {kind}:"
        assert lines and all(line.startswith("  ok     ") for line in lines)
    forget()
    (folder / "my_models.py").write_text(MODEL.replace("state = select_rows(", "unused = select_rows("))
    failed = icrl("check", "my_models:DecaySpec", "width=4")
    assert failed.exit_code == 2
    assert "  FAILED A reset within a sequence gives what a separate run from the cleared memory gives" in failed.stdout
    assert (
        "icrl check:\n  my_models:DecaySpec: 3 of 15 parts of the contract of a sequence model failed" in failed.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["my_models:Decay"],
            "NAME: got 'my_models:Decay', a class (SequenceModel, Module); expected the model's ",
        ),
        (["gruu"], "NAME: got 'gruu'; expected module:Class, or one of s5, gru, "),
        (["my_models:DecaySpec", "width=a"], "width: got 'a'; expected an integer"),
        (["my_envs:Walk", "width=1"], "width=1: got a field; expected none, since my_envs:Walk is a suite"),
    ],
)
def test_check_refuses_what_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str):
    monkeypatch.chdir(folder)
    done = icrl("check", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"icrl check: {message}")
