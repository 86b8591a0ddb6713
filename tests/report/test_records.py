import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icrl.errors import UserError
from icrl.report.comparison import load_records
from icrl.report.records import Reference, load_record, load_references, parse_record

Data = dict[str, Any]


def replaced(data: Data, path: str, value: Any) -> Data:
    """The object with one field replaced, or deleted where `value` is `...`."""
    data = json.loads(json.dumps(data))
    *parents, name = path.split("/")
    inner = data
    for parent in parents:
        inner = inner[parent]
    if value is ...:
        del inner[name]
    else:
        inner[name] = value
    return data


def test_a_record_holds_what_its_file_says(tmp_path: Path, make_data: Callable[..., Data]):
    path = tmp_path / "s5.json"
    path.write_text(json.dumps(make_data()))
    record = load_record(path)
    assert (record.source, record.experiment, record.model) == (str(path), "probe", "s5")
    assert (record.scale, record.rung, record.seeds, record.env_steps) == ("smoke", "sign", (0, 1), 4096)
    assert record.splits == ("train", "held_out")
    assert list(record.split("held_out")) == ["reacher"]
    assert record.tasks["pendulum"].returns.shape == (2, 2, 2)
    assert record.tasks["reacher"].reward_by_step[1].tolist() == [-3.0] * 8


def test_score_0_is_the_better_of_random_and_do_nothing_and_score_1_the_specialist():
    reference = Reference(random=-60.0, do_nothing=-40.0, specialist=0.0)
    scores = reference.normalise(np.array([-60.0, -40.0, -20.0, 0.0, 10.0]))
    assert scores is not None
    assert scores.tolist() == [-0.5, 0.0, 0.5, 1.0, 1.25]


def test_scores_are_returns_on_the_scale_of_the_references(make_data: Callable[..., Data]):
    record = parse_record(make_data())
    [train], [held_out] = record.scores("train"), record.scores("held_out")
    assert record.is_normalised
    assert train[0].tolist() == [[0.2, 0.7], [0.3, 0.8]]
    assert held_out[0].tolist() == [[0.5, 1.0], [0.5, 1.0]]


def test_without_references_scores_are_returns_and_floors_what_the_evaluation_measured(
    make_data: Callable[..., Data],
):
    record = parse_record(make_data(references=False))
    assert not record.is_normalised
    assert record.scores("train")[0] is record.tasks["pendulum"].returns
    assert record.tasks["pendulum"].reference == Reference(random=9.0, do_nothing=5.0)
    assert record.tasks["pendulum"].scores is None


def test_one_task_without_a_reference_leaves_no_task_normalised(make_data: Callable[..., Data]):
    record = parse_record(replaced(make_data(), "references/reacher", ...))
    assert not record.is_normalised
    assert record.scores("train")[0] is record.tasks["pendulum"].returns


def test_the_last_trial_is_the_last_that_training_knew(make_data: Callable[..., Data]):
    data = make_data()
    assert parse_record(data).last_trial == 1
    assert parse_record(data | {"trials_per_episode": 1}).last_trial == 0
    assert parse_record(data | {"trials_per_episode": 8}).last_trial == 1


def test_a_record_beside_another_takes_its_tasks_and_references(make_data: Callable[..., Data]):
    whole = parse_record(make_data(references=False))
    part = parse_record(replaced(make_data(), "tasks/reacher", ...))
    beside = whole.beside(part)
    assert list(beside.tasks) == ["pendulum"]
    assert beside.tasks["pendulum"].reference == part.tasks["pendulum"].reference
    assert beside.is_normalised


def test_what_an_unfinished_training_lacks_may_be_absent(make_data: Callable[..., Data]):
    data = make_data()
    for name in ("train_seconds", "train_env_steps_per_second", "machine", "rung"):
        del data[name]
    record = parse_record(data | {"git_commit": None})
    assert (record.train_seconds, record.git_commit, record.machine, record.rung) == (None, None, {}, "")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", 2, "schema: got 2; expected 1; make the file again with this version of icrl"),
        ("schema", ..., "schema: got null; expected 1; make the file again with this version of icrl"),
        ("model", ..., "model: got nothing; expected a string"),
        ("scale", 3, "scale: got 3; expected a string"),
        ("trials", 0, "trials: got 0; expected a whole number, at least 1"),
        ("trials", True, "trials: got true; expected a whole number, at least 1"),
        ("num_episodes", 2.0, "num_episodes: got 2.0; expected a whole number, at least 1"),
        ("seconds", float("nan"), "seconds: got nan; expected a finite number"),
        ("seeds", [], "seeds: got 0; expected [seed], n finite numbers"),
        ("tasks", {}, "tasks: got none; expected at least one task"),
        ("tasks/pendulum", [], "tasks.pendulum: got []; expected an object"),
        (
            "tasks/pendulum/split",
            "test",
            "tasks.pendulum.split: got 'test'; expected one of train, held_out",
        ),
        (
            "tasks/pendulum/returns",
            [[[1.0, 2.0]]],
            "tasks.pendulum.returns: got 1 x 1 x 2; expected [seed][episode][trial], 2 x 2 x 2 finite numbers",
        ),
        (
            "tasks/pendulum/returns",
            [[[1.0, 2.0], [3.0]]],
            "tasks.pendulum.returns: got uneven lists, or other things; "
            "expected [seed][episode][trial], 2 x 2 x 2 finite numbers",
        ),
        (
            "tasks/reacher/reward_by_step",
            [[0.0] * 7 + [None]] * 2,
            "tasks.reacher.reward_by_step: got null, NaN or infinity among them; "
            "expected [seed][step], 2 x 8 finite numbers",
        ),
        (
            "references/reacher/specialist",
            -40.0,
            "references.reacher.specialist: got -40; "
            "expected more than the better of random and do-nothing, -40; "
            "train the specialist longer, or leave the task out",
        ),
        (
            "references/reacher/random",
            ...,
            "references.reacher.random: got nothing; expected a finite number",
        ),
    ],
)
def test_a_malformed_record_is_refused_by_file_and_field(
    make_data: Callable[..., Data], path: str, value: Any, message: str
):
    with pytest.raises(UserError) as error:
        parse_record(replaced(make_data(), path, value), source="results/records/probe/cpu/s5.json")
    assert str(error.value) == f"results/records/probe/cpu/s5.json: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory); expected a JSON file"),
        ('{"schema": 1', "is not JSON (Expecting ',' delimiter: line 1 column 13 (char 12)); make it again"),
        ("[1]", "got [1]; expected a JSON object"),
    ],
)
def test_a_file_that_is_no_record_is_refused_by_name(tmp_path: Path, content: str | None, message: str):
    path = tmp_path / "s5.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as error:
        load_record(path)
    assert str(error.value) == f"{path}: {message}"


def test_references_fit_records_of_their_conditions_as_far_as_both_are_known(results: Path):
    references = load_references(results / "references" / "probe.json")
    assert references.tasks["pendulum"] == Reference(10.0, 4.0, 30.0)
    assert references.fit(references.trial_steps, action_repeat=2)
    assert not references.fit(2 * references.trial_steps, action_repeat=2)
    held = replace(references, action_repeat=2)
    assert held.fit(references.trial_steps, action_repeat=None)
    assert held.fit(references.trial_steps, action_repeat=2)
    assert not held.fit(references.trial_steps, action_repeat=4)


def test_references_are_those_of_the_experiment(results: Path):
    path = results / "references" / "probe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"experiment": "other"}))
    assert not any(record.is_normalised for record in load_records(results))


def test_a_step_in_context_is_in_one_trial_only_where_trials_last_to_their_limit(make_data: Callable[..., Data]):
    data = make_data()
    assert parse_record(data).trials_keep_step
    for task in data["tasks"].values():
        task["reward_by_step"] = [[*rewards[:-1], 0.0] for rewards in task["reward_by_step"]]
    ends_early = parse_record(data)
    assert not ends_early.trials_keep_step
    assert replace(ends_early, trials=1).trials_keep_step
