"""Every committed record is of a run that a shipped spec records: `icrl reproduce` finds it made, or makes it again."""

import json

import pytest

from icrl.launch.runs import RECORDS, runs_of
from icrl.spec.parse import read_yaml
from icrl.spec.shipped import shipped_specs
from tests.commands.runs import ROOT

OF_ANOTHER_SPEC: dict[str, str] = {}
"""Committed records that the specs no longer describe, and why; `icrl reproduce` makes them again."""


def test_every_committed_record_is_of_a_run_that_a_shipped_spec_records(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    specs = shipped_specs()
    runs = [run for name, path in specs.items() for scale in read_yaml(path)["scales"] for run in runs_of(name, scale)]
    lacking = {run.record_path(): run.why_unrecorded() for run in runs}
    committed = [path for path in sorted(RECORDS.glob("*/*/*.json")) if not path.name.startswith(".")]
    assert committed
    unlike = {str(path): lacking.get(path, "no spec records it") for path in committed}
    assert {path: why for path, why in unlike.items() if why} == OF_ANOTHER_SPEC
    of_path = {run.record_path(): run.experiment for run in runs}
    for path in committed:
        record, experiment = json.loads(path.read_text()), of_path[path]
        assert record["env_steps"] == experiment.all_env_steps, path
        assert set(experiment.seeds) <= set(record["seeds"]), path
        assert record.get("point", "") == experiment.point, path


@pytest.mark.parametrize("name", [name for name in shipped_specs() if name != "benchmark"])
def test_every_shipped_run_says_what_it_is_for(name: str):
    assert all(run.purpose for run in runs_of(name, None))
