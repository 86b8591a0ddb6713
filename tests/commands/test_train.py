"""`icrl train`: what a run leaves behind, and that stopping and resuming changes none of it."""

import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml

from icrl.commands.devices import choose_mesh
from icrl.commands.train import Training
from icrl.learners.devices import SharedLearner
from icrl.runs.checkpoints import Checkpoints
from icrl.runs.directory import RunDirectory
from icrl.runs.interruption import Interruption
from icrl.runs.processes import Peers
from icrl.runs.provenance import this_machine
from icrl.runs.trackers import MemoryTracker, Tracker, Trackers
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import load_experiment
from icrl.spec.parse import parse, read_yaml, to_dict
from tests.commands.conftest import Finished
from tests.commands.icrl_on_stand_in import MOMENTS
from tests.commands.runs import (
    ENV_STEPS_PER_UPDATE,
    NUM_UPDATES,
    STAND_IN,
    TINY,
    UPDATES_PER_CHUNK,
    documented_keys,
    evaluated,
    manifest,
    metrics,
    newest_state,
    numbers,
    outcome,
    start_process,
    train,
    updates_saved,
)


def best_update(run: Path) -> int:
    """The update of the best checkpoint."""
    scores = {line["update"]: line["return/last_trial"] for line in metrics(run)}
    return max(scores, key=lambda update: (scores[update], update))


# ---- What a run leaves behind


def test_a_run_keeps_its_spec_resolved(finished: Finished):
    kept = parse(ExperimentSpec, read_yaml(finished.path / "spec.yaml"))
    assert kept == load_experiment(str(TINY))
    assert (kept.name, kept.scale, kept.model_name) == ("tiny", "cpu", "s5")


def test_a_log_line_follows_every_chunk(finished: Finished):
    lines = metrics(finished.path)
    updates = list(range(UPDATES_PER_CHUNK, NUM_UPDATES + 1, UPDATES_PER_CHUNK))
    assert [line["update"] for line in lines] == updates
    assert [line["env_steps"] for line in lines] == [ENV_STEPS_PER_UPDATE * update for update in updates]
    assert [line["seed"] for line in lines] == [0] * len(updates)
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds) and seconds[0] >= 0


def test_every_logged_number_is_finite_and_documented(finished: Finished):
    documented = documented_keys("metrics.jsonl")
    for line in metrics(finished.path):
        found = {re.sub("^return/cartpole_.*", "return/<task>", key) for key in line}
        assert found == documented
        assert np.isfinite(list(line.values())).all()


def test_returns_of_the_log_are_means_over_the_trials_that_ended(finished: Finished):
    for line in metrics(finished.path):
        # one task, and trials of one length: each chunk ends as many first trials as last ones
        both = (line["return/first_trial"] + line["return/last_trial"]) / 2
        assert line["return/mean"] == line["return/cartpole_centre"] == pytest.approx(both, rel=1e-6)


def test_acting_and_replay_agree(finished: Finished):
    assert max(line["first_ratio_error"] for line in metrics(finished.path)) < 1e-5


def test_the_manifest_says_how_the_run_went(finished: Finished):
    found = manifest(finished.path)
    assert found.keys() == documented_keys("manifest.json")
    assert (found["status"], found["num_resumes"]) == ("done", 0)
    assert found["devices"] and found["started"] <= found["ended"]
    assert found["machine"] == to_dict(this_machine())
    assert found["other_cores"] is None or found["other_cores"] >= 0.0  # None but on Linux
    assert found["seconds"] > metrics(finished.path)[-1]["seconds"]


def test_the_last_two_checkpoints_and_the_best_are_kept(finished: Finished):
    best = best_update(finished.path)
    assert updates_saved(finished.path) == sorted({best, NUM_UPDATES - UPDATES_PER_CHUNK, NUM_UPDATES})


def test_a_run_ends_with_its_evaluation(finished: Finished):
    assert (finished.path / "evaluation.json").is_file()
    assert "cartpole_centre" in finished.stdout and "cartpole_side" in finished.stdout
    figures = [Path(line) for line in finished.stdout.splitlines() if line.endswith(".png")]
    assert len(figures) >= 2
    assert all(figure.is_file() and figure.parent == finished.path for figure in figures)


def test_the_plan_comes_first_and_without_a_terminal_progress_is_plain_lines(finished: Finished):
    plan = [
        "experiment   tiny, cpu scale, seeds 0",
        "model        s5, 559 parameters",
        "tasks        cartpole_centre",
        "held out     cartpole_side",
        "seen through sign projections to 5 observations and 1 actions",
        "episode      2 trials of 4 steps at most",
        "budget       512 env steps per seed in 16 updates of 4 rows x 8 steps",
        f"devices      {min(2, len(jax.local_devices()))} x cpu",
        f"results      {finished.path}",
    ]
    lines = finished.stderr.splitlines()
    assert lines[: len(plan)] == plan
    phases = [line for line in lines[len(plan) :] if "env steps" not in line]
    hint = "a later start of the same spec finds the result in the cache"
    assert re.sub(r"\d+ s", "N s", "\n".join(phases)).splitlines() == [
        f"compiling ({hint})", "compiling took N s", "evaluating", "evaluating took N s"
    ]  # fmt: skip
    steps = [
        line for line in lines if re.fullmatch(r"512 of 512 env steps, [\d,]+/s, return \d\.\d\d, 0\.0 min left", line)
    ]
    assert lines.index(steps[-1]) == len(lines) - 3
    assert "\x1b" not in finished.stderr


# ---- The same command again


def test_a_finished_run_trains_nothing_more(finished: Finished, tmp_path: Path):
    run = Path(shutil.copytree(finished.path, tmp_path / "run"))
    log, state = (run / "metrics.jsonl").read_bytes(), newest_state(run)
    done = train(run)
    assert done.exit_code == 0, done.stderr
    assert "resuming     from update 16 of 16" in done.stderr
    assert (run / "metrics.jsonl").read_bytes() == log
    assert newest_state(run) == state
    assert (manifest(run)["status"], manifest(run)["num_resumes"]) == ("done", 1)


def test_a_run_of_an_icrl_that_lacked_a_field_goes_on_with_its_default(finished: Finished, tmp_path: Path):
    run = Path(shutil.copytree(finished.path, tmp_path / "run"))
    spec = yaml.safe_load((run / "spec.yaml").read_text())
    assert spec["learner"].pop("standardize_by_task") is True
    (run / "spec.yaml").write_text(yaml.safe_dump(spec))
    assert train(run).exit_code == 0
    changed = train(run, "learner.standardize_by_task=false")
    assert changed.exit_code == 2
    assert "learner.standardize_by_task: true -> false" in changed.stderr


def test_a_resume_takes_over_what_does_not_determine_training_and_trains_nothing_for_it(
    finished: Finished, tmp_path: Path
):
    run = Path(shutil.copytree(finished.path, tmp_path / "run"))
    done = train(run, "checkpoint.keep=1", "evaluation.episodes_per_task=2", "environment.held_out=[]", "name=other")
    assert done.exit_code == 0, done.stderr
    assert (numbers(run), newest_state(run)) == (numbers(finished.path), newest_state(finished.path))
    kept = parse(ExperimentSpec, read_yaml(run / "spec.yaml"))
    assert (kept.checkpoint.keep, kept.evaluation.episodes_per_task, kept.name) == (1, 2, "other")
    assert updates_saved(run) == sorted({best_update(run), NUM_UPDATES})
    assert {task: len(found["returns"][0]) for task, found in evaluated(run).items()} == {"cartpole_centre": 2}


def test_a_longer_budget_extends_a_finished_run_as_if_it_had_been_there_from_the_start(
    finished: Finished, tmp_path: Path
):
    run, longer = Path(shutil.copytree(finished.path, tmp_path / "run")), ["total_env_steps=640", "checkpoint.keep=1"]
    extended = train(run, *longer)
    assert extended.exit_code == 0, extended.stderr
    assert "resuming     from update 16 of 20" in extended.stderr
    assert parse(ExperimentSpec, read_yaml(run / "spec.yaml")).total_env_steps == 640
    assert updates_saved(run) == sorted({20, best_update(run)})
    assert train(tmp_path / "long", *longer).exit_code == 0
    assert outcome(run) == outcome(tmp_path / "long")
    before = manifest(run)
    for override in ("total_env_steps=512", "learner.anneal_learning_rate=true"):
        assert train(run, *longer[1:], override).exit_code == 2
    assert manifest(run) == before


def test_a_longer_budget_is_refused_where_the_learning_rate_was_annealed_over_the_old_one(
    finished: Finished, tmp_path: Path
):
    run, annealed = Path(shutil.copytree(finished.path, tmp_path / "run")), "learner.anneal_learning_rate=true"
    spec = to_dict(load_experiment(str(TINY), overrides=[annealed]))
    (run / "spec.yaml").write_text(yaml.safe_dump(spec))
    refused = train(run, annealed, "total_env_steps=640")
    assert refused.exit_code == 2
    assert refused.stderr.splitlines()[1:] == [
        f"  {run}: holds a run of another spec; resume it with its own, or choose another --out",
        "  total_env_steps: 512 -> 640 (the learning rate is annealed to zero over the old budget)",
    ]


class Signalling(MemoryTracker):
    """Sends this process a signal once an update is logged."""

    def __init__(self, update: int, number: signal.Signals) -> None:
        super().__init__()
        self.update, self.number = update, number

    def log(self, record) -> None:
        super().log(record)
        if record["update"] == self.update:
            signal.raise_signal(self.number)


@contextmanager
def signalled(update: int, number: signal.Signals = signal.SIGINT) -> Iterator[None]:
    """Training is sent a signal when it logs this update."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icrl.commands.train.WandbTracker", lambda *_, **__: Signalling(update, number))
        yield


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_an_interrupted_run_resumes_bit_for_bit(finished: Finished, tmp_path: Path, number: signal.Signals):
    run, seldom = tmp_path / "run", "checkpoint.every_seconds=1e9"
    with signalled(6, number):
        stopped = train(run, seldom)
    assert (stopped.exit_code, stopped.stdout) == (130, "")
    assert stopped.stderr.endswith("icrl train: interrupted\n")
    assert (updates_saved(run), manifest(run)["status"]) == ([6], "interrupted")
    assert numbers(run) == numbers(finished.path)[:3]

    resumed = train(run, seldom)
    assert resumed.exit_code == 0, resumed.stderr
    assert "resuming     from update 6 of 16" in resumed.stderr
    assert outcome(run) == outcome(finished.path)
    assert (manifest(run)["status"], manifest(run)["num_resumes"]) == ("done", 1)


def test_an_interruption_of_the_last_chunk_keeps_the_evaluation_for_later(tmp_path: Path):
    with signalled(NUM_UPDATES):
        stopped = train(tmp_path / "run")
    assert stopped.exit_code == 130
    assert max(updates_saved(tmp_path / "run")) == NUM_UPDATES
    assert not (tmp_path / "run" / "evaluation.json").exists()


def test_a_run_killed_at_any_moment_resumes_bit_for_bit(finished: Finished, tmp_path: Path):
    run = tmp_path / "run"
    for moment in MOMENTS:
        process = start_process(STAND_IN, "train", TINY, "--out", run, "--wandb", "disabled", DIE=moment)
        _, complaint = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, complaint
        assert manifest(run)["status"] == "running", moment
    assert manifest(run)["num_resumes"] == len(MOMENTS) - 1
    assert train(run).exit_code == 0
    assert outcome(run) == outcome(finished.path)


def test_sigterm_ends_a_process_after_a_checkpoint_and_until_then_it_has_the_run_for_itself(tmp_path: Path):
    run, endless = tmp_path / "run", ["total_env_steps=6e10", "checkpoint.every_seconds=1e9"]
    process = start_process(STAND_IN, "train", TINY, "--out", run, "--wandb", "disabled", *endless)
    try:
        deadline = time.monotonic() + 300
        while not (run / "metrics.jsonl").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        refused = train(run, *endless)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
    assert refused.exit_code == 2
    assert f"{run}: is open in process {process.pid} on " in refused.stderr
    assert process.returncode == 130
    assert stderr.endswith("icrl train: interrupted\n") and "Traceback" not in stderr
    assert updates_saved(run) == [metrics(run)[-1]["update"]]
    assert manifest(run)["status"] == "interrupted"


def test_another_spec_is_refused_with_its_differences(finished: Finished):
    before = manifest(finished.path)
    done = train(finished.path, "learner.learning_rate=3e-3", "environment.projection.kind=orthogonal")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "icrl train:",
        f"  {finished.path}: holds a run of another spec; resume it with its own, or choose another --out",
        "  environment.projection.kind: 'sign' -> 'orthogonal'",
        "  learner.learning_rate: 0.001 -> 0.003",
    ]
    assert manifest(finished.path) == before


# ---- Seeds


def test_each_of_two_seeds_is_what_it_is_alone(finished: Finished, tmp_path: Path):
    assert train(tmp_path / "both", "--num-seeds", 2).exit_code == 0
    assert train(tmp_path / "second", "--seed", 1).exit_code == 0
    for seed, alone in ((0, finished.path), (1, tmp_path / "second")):
        together = [line for line in numbers(tmp_path / "both") if line["seed"] == seed]
        assert [line.keys() for line in together] == [line.keys() for line in numbers(alone)]
        for line, line_alone in zip(together, numbers(alone), strict=True):
            # other programs round otherwise: first_ratio_error is nothing else, and grows from gradient steps
            np.testing.assert_allclose(list(line.values()), list(line_alone.values()), rtol=1e-3, atol=1e-5)
    assert numbers(finished.path) != numbers(tmp_path / "second")


# ---- Numbers that are not finite

DIVERGING = "learner.learning_rate=1e30"


def test_a_number_that_is_not_finite_stops_the_run(tmp_path: Path):
    done = train(tmp_path / "run", DIVERGING)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "icrl train: training diverged: approximate_kl is NaN or infinite in update 1; there is no checkpoint yet; try "
        "a lower learner.learning_rate, in a new run with another --out"
    )
    assert (manifest(tmp_path / "run")["status"], updates_saved(tmp_path / "run")) == ("failed", [])


def test_a_run_that_diverges_names_its_last_good_checkpoint(tmp_path: Path):
    run = tmp_path / "run"
    with signalled(4):
        assert train(run).exit_code == 130
    log, spec = numbers(run), read_yaml(run / "spec.yaml")
    spec["learner"]["learning_rate"] = 1e30
    (run / "spec.yaml").write_text(yaml.safe_dump(spec))
    done = train(run, DIVERGING)
    assert done.exit_code == 1
    last_good = f"the last good checkpoint is {run / 'checkpoints' / '4'}"
    assert f"approximate_kl is NaN or infinite in update 5; {last_good}; try a lower" in done.stderr
    assert (numbers(run), max(updates_saved(run))) == (log, 4)


def test_parameters_that_the_last_gradient_step_spoiled_are_never_saved(tmp_path: Path):
    one_step = ["learner.num_epochs=1", "learner.num_minibatches=1", "updates_per_chunk=1"]
    done = train(tmp_path / "run", DIVERGING, *one_step)
    assert done.exit_code == 1
    assert "parameter_norm is NaN or infinite in update 1; there is no checkpoint yet;" in done.stderr


# ---- The clock


def test_checkpoints_are_as_many_seconds_apart_as_asked_and_seconds_add_up(tmp_path: Path, monkeypatch):
    saved: list[int] = []
    save = Checkpoints.save

    def note_and_save(self: Checkpoints, update: int, *rest):
        saved.append(update)
        save(self, update, *rest)

    monkeypatch.setattr(Checkpoints, "save", note_and_save)
    spec = load_experiment(str(TINY), overrides=["checkpoint.every_seconds=3"])
    learner = SharedLearner(spec.build(), choose_mesh(spec, None))

    def run(open_tracker: Callable[[int], Tracker]) -> None:
        a_second_passes_at_every_look = count().__next__
        with (
            RunDirectory.open(tmp_path / "run", to_dict(spec), []) as directory,
            Trackers(spec.seeds, open_tracker) as trackers,
            Interruption() as stop,
        ):
            peers, clock = Peers(learner.mesh), a_second_passes_at_every_look
            Training(spec, learner, peers, directory, trackers, clock=clock).run(stop)

    with pytest.raises(KeyboardInterrupt):
        run(lambda seed: Signalling(8, signal.SIGINT))
    assert saved == [6, 8]  # after three chunks of a second each, and when interrupted
    run(lambda seed: MemoryTracker())
    assert saved == [6, 8, 14, 16]
    assert [line["seconds"] for line in metrics(tmp_path / "run")] == [1, 2, 3, 4, 5, 6, 7, 8]
    run(lambda seed: pytest.fail("a finished run has nothing more to track"))
