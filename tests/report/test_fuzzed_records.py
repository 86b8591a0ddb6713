"""Wrong records at volume: each is refused by file and field, or fit to be shown; a report writes all or nothing."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from icrl.cli import app
from icrl.errors import UserError
from icrl.records import load_record, load_references
from icrl.report.comparison import load_records
from icrl.report.tables import print_evaluation
from tests.mutations import cases, mutated, mutated_bytes
from tests.report.conftest import REFERENCES, make_record

RECORD = make_record()
REFERENCE_LINES = {
    "schema": 1, "experiment": "probe", "trial_steps": 4, "command": "icrl evaluate probe", "references": REFERENCES
}  # fmt: skip
METRICS = b"".join(
    json.dumps({"seed": seed, "env_steps": 100 * step, "update": step, "return/last_trial": 0.5}).encode() + b"\n"
    for step in (1, 2, 3)
    for seed in (0, 1)
)


def loaded(load: Callable[[Path], Any], path: Path, content: bytes) -> Any:
    """What a file holds; None where it is refused by name."""
    path.write_bytes(content)
    try:
        return load(path)
    except UserError as error:
        assert str(path) in str(error)
        return None


@cases(350)
@given(mutated(RECORD))
def test_a_record_with_other_values_is_refused_by_name_or_can_be_shown(tmp_path: Path, data: Any):
    if record := loaded(load_record, tmp_path / "s5.json", json.dumps(data).encode()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # means of numbers near the largest float
            print_evaluation(record)


@cases(150)
@given(mutated_bytes(json.dumps(RECORD).encode()))
def test_a_record_with_other_bytes_is_refused_by_name_or_loaded(tmp_path: Path, content: bytes):
    loaded(load_record, tmp_path / "s5.json", content)


@cases(150)
@given(mutated(REFERENCE_LINES))
def test_references_with_other_values_are_refused_by_name_or_loaded(tmp_path: Path, data: Any):
    loaded(load_references, tmp_path / "probe.json", json.dumps(data).encode())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@cases(60)
@given(mutated(RECORD), st.none() | mutated_bytes(METRICS))
def test_a_report_of_wrong_records_writes_all_or_nothing_and_nowhere_else(
    tmp_path_factory: pytest.TempPathFactory, data: Any, log: bytes | None
):
    folder = tmp_path_factory.mktemp("results")
    records = folder / "results" / "records" / "probe" / "smoke"
    records.mkdir(parents=True)
    (records / "s5.json").write_text(json.dumps(data))
    (records / "s5.metrics.jsonl").write_bytes(METRICS if log is None else log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icrl.commands.report.illustrate", lambda *_: {})  # drawing takes half a second
        patch.setattr("icrl.commands.report.illustrate_grid", lambda *_: {})
        done = CliRunner().invoke(app, ["report", str(folder / "results"), "--out", str(folder / "out")])
    assert done.exit_code in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "out" / "README.md").exists() == (done.exit_code == 0)
    assert {entry.name for entry in folder.iterdir()} <= {"results", "out"}


# ---- What fuzzing and reading found, by name


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("experiment", "../../escaped", "experiment: got '../../escaped'; expected a plain name"),
        ("scale", "/escaped", "scale: got '/escaped'; expected a plain name"),
        ("point", "a\0b", r"point: got 'a\x00b'; expected a plain name"),
        ("command", "\ud800", "is not JSON ('utf-8' codec can't encode character"),
        ("seconds", 10**400, "expected a finite number"),
        ("seeds", [10**400], "expected an integer"),
    ],
)
def test_a_record_that_once_broke_or_left_the_report_is_refused(tmp_path: Path, field: str, value: Any, complaint: str):
    path = tmp_path / "s5.json"
    path.write_text(json.dumps(RECORD | {field: value}))
    with pytest.raises(UserError) as error:
        load_record(path)
    assert complaint in str(error.value)


def test_brackets_in_names_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "records").mkdir()
    tasks = {"[/bold]": RECORD["tasks"]["pendulum"]}
    (tmp_path / "records" / "s5.json").write_text(
        json.dumps(RECORD | {"experiment": "[x]", "tasks": tasks, "references": {}})
    )
    print_evaluation(load_records(tmp_path)[0])
    shown = capsys.readouterr().out
    assert "[/bold]" in shown and "[x]" in shown


@pytest.mark.parametrize("content", ["[]", "{}", '{"records": 3}', '{"records": [{"programs": {}}]}', "["])
def test_a_benchmark_that_is_none_is_refused_by_name(results: Path, content: str):
    (results / "benchmark").mkdir()
    (results / "benchmark" / "benchmark.json").write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icrl.commands.report.illustrate", lambda *_: {})
        done = CliRunner().invoke(app, ["report", str(results), "--out", str(results / "out")])
    assert done.exit_code == 2
    assert "benchmark.json: " in done.stderr
