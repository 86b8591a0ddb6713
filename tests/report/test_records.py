import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icrl.errors import UserError
from icrl.records import Record, Reference, load_record, load_references, save_record
from icrl.report.comparison import load_records
from icrl.runs.provenance import Machine
from icrl.spec.parse import parse, to_dict

Data = dict[str, Any]

RECORDS = Path(__file__).parents[2] / "results" / "records"


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
    record = parse(Record, make_data())
    [train], [held_out] = record.scores("train"), record.scores("held_out")
    assert train[0].tolist() == [[0.2, 0.7], [0.3, 0.8]]
    assert held_out[0].tolist() == [[0.5, 1.0], [0.5, 1.0]]


def test_without_references_there_is_no_score_and_floors_are_what_the_evaluation_measured(
    make_data: Callable[..., Data],
):
    record = parse(Record, make_data(references=False))
    assert (record.scores("train"), record.measure("train")) == ([], "return")
    assert record.returns("train") == [record.tasks["pendulum"].returns]
    assert record.reference("pendulum") == Reference(random=9.0, do_nothing=5.0)
    assert record.score("pendulum") is None


def test_a_task_without_a_reference_is_left_out_of_the_mean_score_alone(make_data: Callable[..., Data]):
    data = make_data()
    data["tasks"]["twin"] = data["tasks"]["pendulum"]
    record = parse(Record, data)
    assert [(record.measure(split), record.unscored(split)) for split in record.splits] == [
        ("score", ["twin"]),
        ("score", []),
    ]
    assert record.counted("train") == ["pendulum"]
    assert [score.mean() for score in record.scores("train")] == [0.5]
    assert len(record.returns("train")) == 2


def test_the_last_trial_is_the_last_that_training_knew(make_data: Callable[..., Data]):
    data = make_data()
    assert parse(Record, data).last_trial == 1
    assert parse(Record, data | {"trials_per_episode": 1}).last_trial == 0
    assert parse(Record, data | {"trials_per_episode": 8}).last_trial == 1


def test_a_record_beside_another_takes_its_tasks_and_references(make_data: Callable[..., Data]):
    whole = parse(Record, make_data(references=False))
    part = parse(Record, replaced(make_data(), "tasks/reacher", ...))
    beside = whole.beside(part)
    assert list(beside.tasks) == ["pendulum"]
    assert beside.reference("pendulum") == part.reference("pendulum")
    assert beside.score("pendulum") is not None


def test_what_an_unfinished_training_lacks_may_be_absent(make_data: Callable[..., Data]):
    data = make_data()
    for name in ("train_seconds", "train_env_steps_per_second", "machine", "rung"):
        del data[name]
    record = parse(Record, data | {"git_commit": None})
    assert (record.train_seconds, record.git_commit, record.machine, record.rung) == (None, None, Machine(), "")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", 2, "schema: got 2; expected 1"),
        ("model", ..., "model: got nothing; expected a string"),
        ("scale", 3, "scale: got 3; expected a string; put it in quotes"),
        ("trials", 0, "trials: got 0; expected at least 1"),
        ("trials", True, "trials: got true; expected an integer"),
        ("num_episodes", 2.5, "num_episodes: got 2.5; expected an integer"),
        ("seconds", float("nan"), "seconds: got nan; expected a finite number"),
        ("seeds", [], "seeds: got (); expected at least one"),
        ("tasks", {}, "tasks: got {}; expected at least one"),
        ("tasks/pendulum", [], "tasks.pendulum: got []; expected a mapping"),
        (
            "tasks/pendulum/split",
            "test",
            "tasks.pendulum.split: got 'test'; expected train, held_out, or held_out/ and the name of a group",
        ),
        (
            "tasks/pendulum/returns",
            [[[1.0, 2.0]]],
            "tasks.pendulum.returns: got 1 x 1 x 2; expected [seed][episode][trial], 2 x 2 x 2 numbers",
        ),
        (
            "tasks/pendulum/returns",
            [[[1.0, 2.0], [3.0]]],
            "tasks.pendulum.returns: got [[[1.0, 2.0], [3.0]]]; expected lists of finite numbers, all of one length",
        ),
        (
            "tasks/reacher/reward_by_step",
            [[0.0] * 3 + [None]] * 2,
            "tasks.reacher.reward_by_step: got [[0.0, 0.0, 0.0, null], [0.0, 0.0, 0.0, null]]; "
            "expected lists of finite numbers, all of one length",
        ),
        (
            "probe",
            {"steps": [1, 8], "readings": {"train": {"task": [[0.5]]}}},
            "probe.readings.train.task: got 1 x 1; expected [seed][step], 2 x 2 numbers",
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
    tmp_path: Path, make_data: Callable[..., Data], path: str, value: Any, message: str
):
    file = tmp_path / "s5.json"
    file.write_text(json.dumps(replaced(make_data(), path, value)))
    with pytest.raises(UserError) as error:
        load_record(file)
    assert str(error.value) == f"{file}: {message}"


def test_every_mistake_in_a_record_is_named_at_once(tmp_path: Path, make_data: Callable[..., Data]):
    file = tmp_path / "s5.json"
    data = replaced(replaced(make_data(), "tasks/pendulum/split", "test"), "references/reacher/specialist", -40)
    file.write_text(json.dumps(data | {"trials": 0, "scale": "../cpu", "model": None}))
    with pytest.raises(UserError) as error:
        load_record(file)
    wrong = [line.removeprefix(f"{file}: ").partition(":")[0] for line in str(error.value).splitlines()]
    assert wrong == ["model", "tasks.pendulum.split", "references.reacher.specialist", "scale", "trials"]


def test_a_record_is_read_back_as_it_was_saved(tmp_path: Path, make_data: Callable[..., Data]):
    probe = {"steps": [1, 8], "readings": {"train": {"task": [[0.5, 1.0], [0.25, 1.0]]}}}
    record = parse(Record, make_data() | {"probe": probe})
    record = replace(record, point="64", changes=("--trials 2",), apart=frozenset({"reacher"}))
    saved = save_record(record, tmp_path / "s5.json")
    again = load_record(tmp_path / "s5.json")
    assert again.source == saved.source == str(tmp_path / "s5.json")
    assert to_dict(again) == to_dict(replace(saved, apart=frozenset()))


def test_every_record_of_the_repository_can_be_read():
    for path in RECORDS.rglob("*.json"):
        assert load_record(path).experiment == path.relative_to(RECORDS).parts[0]


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
    assert references.references["pendulum"] == Reference(10.0, 4.0, 30.0)
    assert references.fit(references.trial_steps, action_repeat=2)
    assert not references.fit(2 * references.trial_steps, action_repeat=2)
    held = replace(references, action_repeat=2)
    assert held.fit(references.trial_steps, action_repeat=None)
    assert held.fit(references.trial_steps, action_repeat=2)
    assert not held.fit(references.trial_steps, action_repeat=4)


def test_references_are_those_of_the_experiment(results: Path):
    path = results / "references" / "probe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"experiment": "other"}))
    assert not any(record.scores("train") for record in load_records(results))


def test_a_step_in_context_is_in_one_trial_only_where_trials_last_to_their_limit(make_data: Callable[..., Data]):
    data = make_data()
    assert parse(Record, data).trials_keep_step
    for task in data["tasks"].values():
        task["reward_by_step"] = [[*rewards[:-1], 0.0] for rewards in task["reward_by_step"]]
    ends_early = parse(Record, data)
    assert not ends_early.trials_keep_step
    one_trial = {name: replace(task, returns=task.returns[:, :, :1]) for name, task in ends_early.tasks.items()}
    assert replace(ends_early, trials=1, trial_steps=8, tasks=one_trial).trials_keep_step
