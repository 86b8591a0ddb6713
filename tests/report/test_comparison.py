import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from icrl.envs.ladder import RUNGS
from icrl.errors import UserError
from icrl.records import Record
from icrl.report.comparison import (
    Comparison,
    load_comparisons,
    load_records,
    memoryless_of,
    model_order,
    rung_order,
)
from icrl.report.grid import load_grids
from icrl.spec.parse import parse

Data = dict[str, Any]


def write(results: Path, name: str, data: Data) -> Path:
    path = results / "records" / "probe" / "smoke" / name
    path.write_text(json.dumps(data))
    return path


def test_the_headline_is_what_is_named_after_its_model(results: Path):
    [comparison] = load_comparisons(results)
    assert comparison.name == "probe-smoke"
    assert [record.model for record in comparison.headline] == ["s5", "mlp"]
    assert {record.rung for record in comparison.headline} == {"sign"}
    assert [(record.rung, record.model) for record in comparison.records] == [
        ("sign", "s5"),
        ("sign", "mlp"),
        ("gaussian", "s5"),
    ]
    assert comparison.has_ladder


def test_only_a_point_named_after_its_projections_is_a_rung(results: Path, make_data: Callable[..., Data]):
    write(results, "s5-orthogonal.json", make_data("s5", "gaussian") | {"point": "long"})
    ladder, long = load_comparisons(results)
    assert [record.point for record in ladder.records] == ["", "", "gaussian"]
    assert (ladder.name, long.name) == ("probe-smoke", "probe-smoke-long")
    assert [record.model for record in long.headline] == ["s5"]


def test_points_are_a_grid_where_nothing_stands_on_a_ladder(results: Path, make_data: Callable[..., Data]):
    assert load_grids(results) == []
    shutil.rmtree(results / "records")
    (results / "records" / "probe" / "smoke").mkdir(parents=True)
    write(results, "s5-long.json", make_data("s5", "gaussian") | {"point": "long"})
    assert load_comparisons(results) == []
    assert [grid.points for grid in load_grids(results)] == [("long",)]


def test_records_are_measured_against_the_references_of_their_folder(results: Path):
    assert all(record.scores("train") for record in load_records(results))
    [comparison] = load_comparisons(results)
    assert comparison.references is not None
    assert comparison.references.command == "icrl references probe"
    shutil.rmtree(results / "references")
    assert not any(record.scores("train") for record in load_records(results))


def test_metrics_are_read_where_they_lie_beside_a_headline_record(results: Path):
    [comparison] = load_comparisons(results)
    assert list(comparison.metrics) == ["s5"]
    assert comparison.metrics["s5"][1] == {"seed": 1, "env_steps": 0, "return/last_trial": 10.0}


def test_scales_and_experiments_are_compared_apart(results: Path, make_data: Callable[..., Data]):
    folder = results / "records" / "another" / "cpu"
    folder.mkdir(parents=True)
    (folder / "gru.json").write_text(json.dumps(make_data("gru") | {"experiment": "another", "scale": "cpu"}))
    assert [comparison.name for comparison in load_comparisons(results)] == ["another-cpu", "probe-smoke"]


def test_rungs_climb_from_identity_to_gaussian_and_unknown_ones_come_last():
    rungs = ["gaussian", "sign/orthogonal", "my_own", "sign/sign", "identity"]
    assert sorted(rungs, key=rung_order) == ["identity", "sign/sign", "sign/orthogonal", "gaussian", "my_own"]
    assert sorted(reversed(RUNGS), key=rung_order) == list(RUNGS)


def test_models_stand_in_one_order_with_the_memoryless_last():
    assert sorted(["mlp", "zeta", "gru", "alpha", "s5"], key=model_order) == [
        "s5",
        "gru",
        "alpha",
        "zeta",
        "mlp",
    ]


def test_the_memoryless_record_is_of_the_same_rung_on_the_same_tasks(results: Path, make_data: Callable[..., Data]):
    records = load_records(results)
    part = make_data("s5")
    del part["tasks"]["reacher"]
    found = memoryless_of(parse(Record, part), records)
    assert found is not None
    assert (found.model, list(found.tasks)) == ("mlp", ["pendulum"])
    assert memoryless_of(parse(Record, make_data("s5", "gaussian")), records) is None
    assert memoryless_of(parse(Record, make_data("s5") | {"experiment": "other"}), records) is None
    assert memoryless_of(parse(Record, make_data("mlp")), records) is None


def with_easy_task(data: Data, last: float) -> Data:
    """The same with a second held-out task, whose returns are scores: 0 in the first trial, `last` in the last."""
    easy = data["tasks"]["reacher"] | {"returns": [[[0.0, last]] * 2] * 2}
    references = data["references"] | {"easy": {"random": 0.0, "do_nothing": -1.0, "specialist": 1.0}}
    return data | {"tasks": data["tasks"] | {"easy": easy}, "references": references}


@pytest.mark.parametrize(("memoryless", "counted"), [(0.51, ["reacher"]), (0.5, ["reacher", "easy"])])
def test_a_task_near_whose_specialist_the_memoryless_agent_comes_counts_in_no_mean(
    tmp_path: Path, make_data: Callable[..., Data], memoryless: float, counted: list[str]
):
    folder = tmp_path / "results" / "records" / "probe" / "smoke"
    folder.mkdir(parents=True)
    (folder / "s5.json").write_text(json.dumps(with_easy_task(make_data("s5"), 1.0)))
    (folder / "s5-gaussian.json").write_text(json.dumps(with_easy_task(make_data("s5", "gaussian"), 1.0)))
    (folder / "mlp.json").write_text(json.dumps(with_easy_task(make_data("mlp", shift=-0.5), memoryless)))
    [comparison] = load_comparisons(tmp_path / "results")
    assert [record.counted("held_out") for record in comparison.records] == [counted] * 3
    assert [len(record.scores("held_out")) for record in comparison.headline] == [len(counted)] * 2
    assert all(list(record.split("held_out")) == ["reacher", "easy"] for record in comparison.records)


def test_one_evaluation_sets_the_same_tasks_apart(make_data: Callable[..., Data]):
    record, memoryless = (parse(Record, with_easy_task(make_data(model, shift=-0.5), 0.9)) for model in ("s5", "mlp"))
    for comparison in (Comparison.of(record, memoryless), Comparison.of(memoryless)):
        assert [record.apart for record in comparison.headline] == [{"easy"}] * len(comparison.headline)
    assert not Comparison.of(record).headline[0].apart


def test_where_no_other_task_is_left_all_count(make_data: Callable[..., Data]):
    comparison = Comparison.of(parse(Record, make_data("s5")), parse(Record, make_data("mlp")))
    assert comparison.headline[0].apart == {"pendulum", "reacher"}
    assert comparison.headline[0].counted("held_out") == ["reacher"]


def test_a_folder_without_records_is_refused_with_what_to_do(tmp_path: Path):
    with pytest.raises(UserError) as error:
        load_comparisons(tmp_path / "results")
    assert str(error.value) == (
        f"{tmp_path}/results: got no record; "
        f"expected {tmp_path}/results/records/<experiment>/<scale>/<model>.json; "
        "run `icrl evaluate` and copy its evaluation.json there, or name another results folder"
    )


def test_two_records_of_one_model_on_one_rung_are_refused(results: Path, make_data: Callable[..., Data]):
    twin = write(results, "s5-sign.json", make_data("s5"))
    with pytest.raises(UserError) as error:
        load_comparisons(results)
    assert str(error.value) == (
        f"{twin.with_name('s5.json')}: got a second record of s5 on the same projections (sign); "
        f"expected {twin} alone; delete one of them"
    )


def test_records_of_other_tasks_or_trials_do_not_stand_side_by_side(results: Path, make_data: Callable[..., Data]):
    other = make_data("gru")
    del other["tasks"]["reacher"]
    path = write(results, "gru.json", other)
    with pytest.raises(UserError) as error:
        load_comparisons(results)
    trials = "2 trials of 4 steps"
    assert str(error.value) == (
        f"{path}: got {trials}, on pendulum (train); expected {trials}, on pendulum (train), reacher (held_out) "
        f"as in {path.with_name('s5.json')}; evaluate both on the same tasks, trials and references"
    )


def test_hidden_files_and_folders_are_passed_over(results: Path):
    before = [record.source for record in load_records(results)]
    for hidden in ("records/probe/smoke/._s5.json", "records/.ipynb_checkpoints/s5.json", "references/._probe.json"):
        (results / hidden).parent.mkdir(exist_ok=True)
        (results / hidden).write_bytes(b"\0\5\x16\7")
    assert [record.source for record in load_records(results)] == before


def test_a_torn_metrics_file_is_refused_by_name(results: Path):
    path = results / "records" / "probe" / "smoke" / "s5.metrics.jsonl"
    path.write_text('{"env_steps": 1}\n{"env_st')
    with pytest.raises(UserError) as error:
        load_comparisons(results)
    assert str(error.value).startswith(f"{path}: is not one JSON object a line (")
    assert str(error.value).endswith("; copy it from its run")
