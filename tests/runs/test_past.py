"""How long something took last time: of the same run, else of the newest one beside it of the same program, here."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from icrl.runs.directory import RunDirectory
from icrl.runs.past import last_time
from icrl.runs.provenance import this_machine
from icrl.spec.parse import to_dict

HERE = to_dict(this_machine())
ELSEWHERE = HERE | {"processor": "another"}


@pytest.fixture
def make(tmp_path: Path):
    """Makes runs beside one another, each started later than the one before."""
    started = count(1_000_000_000)

    def make(name: str, model: str = "s5", **manifest: Any) -> RunDirectory:
        spec = {
            "name": "probe",
            "scale": "cpu",
            "model_name": model,
            "point": "",
            "num_seeds": 1,
            "seed": next(started),
        }
        run = RunDirectory.open(tmp_path / name, spec, ["icrl"], clock=lambda: float(spec["seed"]))
        run.update_manifest(**{"machine": HERE, "devices": ["cpu:0"]} | manifest)
        run.close()
        return RunDirectory.read(run.path)

    return make


def test_what_nobody_did_before_has_no_estimate(make):
    make("other_model", model="gru", compile_seconds=1.0)
    make("other_machine", machine=ELSEWHERE, compile_seconds=2.0)
    make("more_devices", devices=["cpu:0", "cpu:1"], compile_seconds=3.0)
    make("never_compiled")
    assert last_time("compile_seconds", make("new")) is None


def test_the_newest_run_beside_it_says_unless_it_says_itself(make):
    make("older", compile_seconds=10.0)
    make("newer", compile_seconds=20.0, evaluate_seconds=5.0)
    make("newest_elsewhere", compile_seconds=30.0, machine=ELSEWHERE)
    new = make("new", machine=None)
    assert last_time("compile_seconds", new) == 20.0
    assert last_time("evaluate_seconds", new) == 5.0
    assert last_time("compile_seconds", make("again", compile_seconds=7.0)) == 7.0


def test_damaged_neighbours_are_passed_over(make, tmp_path: Path):
    (make("damaged", compile_seconds=1.0).path / "manifest.json").write_text("{")
    (make("without_spec", compile_seconds=1.0).path / "spec.yaml").unlink()
    assert last_time("compile_seconds", make("new")) is None
