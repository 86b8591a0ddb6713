"""`icrl evaluate`: what it measures, of what, and what it refuses."""

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from icrl.commands import evaluate
from icrl.errors import UserError
from icrl.records import Record, Reference, load_record, recorded_references
from icrl.runs.find import find_run
from icrl.spec.experiment_file import load_experiment
from icrl.spec.parse import to_dict
from tests.commands.conftest import Finished
from tests.commands.runs import ENV_STEPS_PER_UPDATE, TINY, icrl, manifest, metrics, updates_saved


def evaluated(target: Path, out: Path, *arguments: object) -> dict[str, Any]:
    """The record of an evaluation that succeeds."""
    done = icrl("evaluate", target, "--out", out, *arguments)
    assert done.exit_code == 0, done.stderr
    return json.loads((out / "evaluation.json").read_text())


@pytest.fixture
def record(finished: Finished) -> dict[str, Any]:
    """The evaluation with which training ended."""
    return json.loads((finished.path / "evaluation.json").read_text())


def test_a_record_has_the_fields_of_its_schema(record: dict[str, Any], finished: Finished):
    outside = {"source", "apart", "plugins", "probe"}  # of a file, or of one where nothing of one's own, or no probe is
    assert record.keys() == {field.name for field in fields(Record)} - outside
    read = to_dict(load_record(finished.path / "evaluation.json"))
    assert {name: value for name, value in read.items() if name not in outside} == record


def test_a_record_says_what_was_evaluated(record: dict[str, Any], finished: Finished):
    log = metrics(finished.path)
    said = {
        "schema": 1,
        "experiment": "tiny",
        "model": "s5",
        "scale": "cpu",
        "rung": "sign",
        "env_steps": 512,
        "trial_steps": 4,
        "trials_per_episode": 2,
        "trials": 2,
        "num_episodes": 4,
        "num_parameters": 559,
        "seeds": [0],
        "train_seconds": log[-1]["seconds"],
        "train_env_steps_per_second": round(512 / log[-1]["seconds"], 1),
        "train_other_cores": manifest(finished.path)["other_cores"],
        "machine": manifest(finished.path)["machine"],
    }
    assert {key: record[key] for key in said} == said
    assert record["changes"] == []
    assert {name: task["split"] for name, task in record["tasks"].items()} == {
        "cartpole_centre": "train",
        "cartpole_side": "held_out",
    }


def test_returns_are_sums_of_rewards_by_step(record: dict[str, Any]):
    for task in record["tasks"].values():
        returns, rewards = np.array(task["returns"]), np.array(task["reward_by_step"])
        assert (returns.shape, rewards.shape) == ((1, 4, 2), (1, 8))
        by_trial = rewards.reshape(1, 2, 4).sum(axis=-1)
        # each of the four rewards and the returns were rounded to four decimals
        np.testing.assert_allclose(returns.mean(axis=1), by_trial, atol=5 * 0.5e-4)


def test_evaluating_again_gives_the_same_numbers(record: dict[str, Any], finished: Finished, tmp_path: Path):
    again = evaluated(finished.path, tmp_path / "again", "--probe")  # which looks on and changes nothing
    assert {key for key in record if record[key] != again[key]} <= {"command", "git_commit", "seconds"}
    assert again["probe"]["steps"] == list(range(1, 9))
    for readings in again["probe"]["readings"].values():
        assert {name: np.shape(values) for name, values in readings.items()} == {
            "observation_matrix": (1, 8),
            "action_matrix": (1, 8),
        }
    assert (tmp_path / "again" / "tiny-cpu-probe.png").exists()


def test_an_older_checkpoint_is_evaluated_on_the_same_episodes(
    record: dict[str, Any], finished: Finished, tmp_path: Path
):
    update = updates_saved(finished.path)[0]
    older = evaluated(finished.path / "checkpoints" / str(update), tmp_path / "older")
    assert older["env_steps"] == ENV_STEPS_PER_UPDATE * update < record["env_steps"]
    for name, task in record["tasks"].items():
        assert older["tasks"][name]["returns"] != task["returns"]
        for actor in ("random", "do_nothing"):  # these agree to the last bit only on the same tasks and starts
            assert older["tasks"][name][actor] == task[actor]


def test_more_trials_than_trained_on_of_some_tasks(finished: Finished, tmp_path: Path):
    before = (finished.path / "evaluation.json").read_bytes()
    options = ["--trials", 3, "--tasks", "held_out", "--episodes", 2, "environment.held_out={far: [cartpole_side]}"]
    longer = evaluated(finished.path, tmp_path / "longer", *options)
    assert (longer["trials"], longer["trials_per_episode"], longer["num_episodes"]) == (3, 2, 2)
    (task,) = longer["tasks"].values()
    assert list(longer["tasks"]) == ["cartpole_side"]
    assert task["split"] == "held_out/far"
    assert (np.shape(task["returns"]), np.shape(task["reward_by_step"])) == ((1, 2, 3), (1, 12))
    assert list((tmp_path / "longer").glob("*.png"))
    assert (finished.path / "evaluation.json").read_bytes() == before


def test_the_rung_names_what_is_projected():
    def rung(*overrides: str) -> str:
        return load_experiment(str(TINY), overrides=overrides).environment.rung

    assert rung() == "sign"
    assert rung("environment.projection.project_action=false") == "sign/identity"
    assert rung("environment.projection.project_observation=false") == "identity/sign"
    assert rung("environment.projection.kind=gaussian") == "gaussian"


# ---- What a target means


def copied_run(finished: Finished, out: Path, **changes: object) -> Path:
    """A copy of the finished run, with other fields in its spec."""
    shutil.copytree(finished.path, out)
    spec = yaml.safe_load((out / "spec.yaml").read_text())
    (out / "spec.yaml").write_text(yaml.safe_dump(spec | changes))
    return out


def test_a_spec_means_its_newest_run_of_that_seed(finished: Finished):
    folder = Path("results/runs/tiny/cpu/s5")
    first, second = (
        copied_run(finished, folder / "seed0"),
        copied_run(finished, folder / "seeds1-2", seed=1, num_seeds=2),
    )
    for run, started in ((first, "2026-01-02T00:00:00+00:00"), (second, "2026-01-01T00:00:00+00:00")):
        manifest = json.loads((run / "manifest.json").read_text())
        (run / "manifest.json").write_text(json.dumps(manifest | {"started": started}))
    assert find_run(str(TINY), model=None, scale=None, seed=None) == first
    assert find_run(str(TINY), model="s5", scale="cpu", seed=0) == first
    for seed in (1, 2):
        assert find_run(str(TINY), model=None, scale=None, seed=seed) == second
    with pytest.raises(UserError) as refusal:
        find_run(str(TINY), model=None, scale=None, seed=3)
    assert str(refusal.value) == (
        f"{TINY}: got no run of it in results/runs/tiny/cpu/s5 with seed 3; expected one; "
        f"run: icrl train {TINY} --model s5 --scale cpu"
    )


def refusal(*arguments: object) -> str:
    """The message with which `icrl evaluate` refuses, the user being wrong."""
    done = icrl("evaluate", *arguments)
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    return done.stderr.removeprefix("icrl evaluate:").strip()


def test_what_was_never_trained_cannot_be_evaluated():
    assert refusal(TINY, "--model", "mlp") == (
        f"{TINY}: got no run of it in results/runs/tiny/cpu/mlp; expected one; "
        f"run: icrl train {TINY} --model mlp --scale cpu"
    )
    assert (
        refusal("runs/nothing") == "runs/nothing: got nothing there; expected a run directory, a checkpoint or a spec"
    )


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    advice = "expected a run directory, made by `icrl train`"
    assert refusal(tmp_path) == f"{tmp_path}: got no manifest.json in it; {advice}"


def test_a_run_that_saved_nothing_is_refused(finished: Finished, tmp_path: Path):
    run = copied_run(finished, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    assert refusal(run) == f"{run}: got no checkpoint in it; expected at least one; train the run first"


def test_options_that_choose_a_run_are_refused_beside_a_run(finished: Finished):
    given = ["--model", "s5", "--scale", "cpu", "--seed", 0]
    assert refusal(finished.path, *given) == (
        f"--model, --scale, --seed: got a value; expected none, since {finished.path} is one run already"
    )


def test_a_checkpoint_of_another_spec_is_refused(finished: Finished, tmp_path: Path):
    first, *leaves = refusal(finished.path, "--out", tmp_path / "out", "model.width=16").splitlines()
    advice = "use the spec and the version of icrl that made it"
    assert first == f"{finished.path / 'checkpoints' / '16'}: does not fit the spec; {advice}"
    assert all(line.strip().startswith("agent.params.params.") for line in leaves[:5])


def test_a_run_whose_spec_was_changed_after_training_is_refused_or_its_changes_are_named(
    finished: Finished, tmp_path: Path
):
    learner = to_dict(load_experiment(str(TINY), overrides=["learner.learning_rate=1e-2"]).learner)
    run = copied_run(finished, tmp_path / "run", learner=learner, model_name="gru")
    before = (run / "evaluation.json").read_bytes()
    assert refusal(run).splitlines() == [
        f"{run / 'spec.yaml'}: is not the spec that trained {run / 'checkpoints' / '16'}; put it back, or copy the "
        "checkpoint out of the run and evaluate it alone: it holds its own spec",
        "  learner.learning_rate: 0.001 -> 0.01",
    ]
    assert (run / "evaluation.json").read_bytes() == before
    renamed = copied_run(finished, tmp_path / "renamed", model_name="gru", checkpoint={"keep": 1})
    assert evaluated(renamed, tmp_path / "out")["changes"] == ["model_name: 's5' -> 'gru'"]


def test_a_checkpoint_is_found_from_inside_and_evaluated_alone_by_the_spec_that_it_holds(
    record: dict[str, Any], finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(finished.path / "checkpoints" / "16", tmp_path / "alone")
    for folder, target in (
        (finished.path / "checkpoints", "16"),
        (finished.path / "checkpoints" / "16", "."),
        (tmp_path / "alone", "."),
    ):
        monkeypatch.chdir(folder)
        found = evaluated(Path(target), tmp_path / "out")
        assert (found["tasks"], found["changes"]) == (record["tasks"], [])
        assert (found["train_seconds"] is None) == ("alone" in folder.parts)
    assert icrl("evaluate", ".").exit_code == 0
    assert (tmp_path / "alone" / "evaluation.json").exists()


def test_tasks_that_the_spec_lacks_are_refused(finished: Finished):
    assert refusal(finished.path, "--tasks", "held_out", "environment.held_out=[]") == (
        "--tasks: got held_out; expected tasks of that kind in tiny, which has none"
    )


def test_an_override_is_checked_like_the_spec(finished: Finished):
    assert refusal(finished.path, "evaluation.episodes_per_task=0") == (
        "evaluation.episodes_per_task: got 0; expected at least 1"
    )


# ---- References


def test_references_count_only_for_trials_of_their_length():
    path = Path("results/references/tiny.json")
    assert recorded_references("tiny", trial_steps=4, action_repeat=1) == {}
    path.parent.mkdir(parents=True)
    lines = {"cartpole_centre": {"random": 1.0, "do_nothing": 1.0, "specialist": 2.0}}
    known = {"schema": 1, "experiment": "tiny", "command": "icrl", "trial_steps": 4, "references": lines}
    for content in (known, {**known, "action_repeat": 1}):  # older files do not say how long an action is held
        path.write_text(json.dumps(content))
        found = recorded_references("tiny", trial_steps=4, action_repeat=1)
        assert found == {"cartpole_centre": Reference(1.0, 1.0, 2.0)}
        assert recorded_references("tiny", trial_steps=5, action_repeat=1) == {}
    assert recorded_references("tiny", trial_steps=4, action_repeat=2) == {}


@pytest.mark.parametrize("file", ["references/tiny.json", "records/tiny/cpu/mlp.json"])
def test_a_damaged_file_to_compare_with_costs_the_comparison_alone(
    finished: Finished, file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """It may be somebody else's, and the training behind an evaluation is long."""
    path = Path("results", file)
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert evaluated(finished.path, tmp_path / "out")
    assert f"{path}: experiment: got nothing; expected a string" in caplog.text


# ---- What a record shows besides


def test_a_record_says_in_what_it_is_not_the_one_that_the_spec_describes(finished: Finished, tmp_path: Path):
    record = evaluated(finished.path, tmp_path, "--tasks", "train", "--trials", 3, "evaluation.seed=7")
    assert record["changes"] == ["evaluation.seed=7", "--tasks train", "--trials 3"]


def test_rewards_by_step_are_of_one_length_whichever_tasks_are_evaluated(tmp_path: Path):
    """Environments that end trials by themselves have trials of different lengths."""
    spec = yaml.safe_load(TINY.read_text()) | {"total_env_steps": 64, "wandb": "disabled"}
    spec["environment"] = {
        "suite": "popgym",
        "train": ["repeat_first_easy"],
        "held_out": ["repeat_first_medium"],
        "trial_steps": None,
        "trials_per_episode": 1,
        "projection": None,
    }
    Path("two_lengths.yaml").write_text(yaml.safe_dump(spec))
    trained = icrl("train", "two_lengths.yaml", "--out", tmp_path / "run")
    assert trained.exit_code == 0, trained.stderr
    record = evaluated(tmp_path / "run", tmp_path / "out", "--tasks", "train")
    (task,) = record["tasks"].values()
    assert np.shape(task["reward_by_step"]) == (1, record["trial_steps"])
    assert not np.any(task["reward_by_step"][0][52:])


def test_a_folder_that_cannot_be_written_to_is_said_before_anything_is_played(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evaluate, "evaluate_run", lambda *_, **__: pytest.fail("it was played"))
    Path("file").touch()
    assert refusal(finished.path, "--out", "file") == (
        "file: got a file; expected a folder or nothing; choose another folder with --out"
    )
