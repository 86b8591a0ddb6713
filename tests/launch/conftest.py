"""What the tests of launchers share: two small specs, and a stand-in for `icrl` that trains nothing."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from icrl.launch import process
from icrl.launch.runs import Run, runs_of
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.parse import to_dict
from tests.commands.runs import ROOT, TINY

FAKE = Path(__file__).with_name("fake_icrl.py")


def evaluation(experiment: ExperimentSpec, text: str, *changes: str) -> str:
    """An evaluation.json of the whole training, as the spec describes it but for these changes, that says this."""
    return json.dumps({"text": text, "changes": changes, "env_steps": experiment.all_env_steps})


class Grid:
    """Two specs in an empty folder, and what was called in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._calls = folder, folder / "calls"
        self._monkeypatch = monkeypatch
        self.act(CALLS=str(self._calls), RESOLVED=str(folder / "resolved"), PYTHONPATH=str(ROOT / "src"))
        self.specs = ["a.yaml", "b.yaml"]
        self.write("a.yaml", models=["s5", "gru"])
        self.write("b.yaml", models=["s5"])

    def write(self, name: str, models: list[str], **fields: object) -> None:
        """Writes a spec, and what its runs at cpu and smoke scale are to leave behind."""
        spec = yaml.safe_load(TINY.read_text())
        spec["models"] = {model: {"kind": model, "width": 8} for model in models}
        spec["scales"] = {"cpu": {}, "smoke": {}}
        (self.folder / name).write_text(yaml.safe_dump(spec | fields, sort_keys=False))
        for run in [*runs_of(name, "cpu"), *runs_of(name, "smoke")]:
            self.resolve(run)

    def resolve(self, run: Run) -> None:
        """Has the stand-in leave this run behind."""
        parts = run.experiment.scale, run.experiment.model_name, run.experiment.point
        resolved = self.folder / "resolved" / "-".join(filter(None, (run.experiment.name, *parts)))
        resolved.mkdir(parents=True, exist_ok=True)
        (resolved / "spec.yaml").write_text(yaml.safe_dump(to_dict(run.experiment)))
        (resolved / "directory").write_text(str(run.directory))
        (resolved / "evaluation.json").write_text(evaluation(run.experiment, f"evaluated {resolved.name}"))

    def act(self, **actions: str) -> None:
        """Sets variables that `fake_icrl` reads."""
        for name, value in actions.items():
            self._monkeypatch.setenv(name, value)

    def rest(self, *actions: str) -> None:
        """Takes variables back."""
        for name in actions:
            self._monkeypatch.delenv(name)

    def runs(self) -> list[Run]:
        """All of them, at cpu scale."""
        return [run for spec in self.specs for run in runs_of(spec, "cpu")]

    def calls(self) -> list[str]:
        """What was called since the last time, one line a call, devices left out."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return [line.partition(" --devices")[0] for line in lines]

    def records(self, experiment: str) -> dict[str, str]:
        """The records of an experiment by file name, without their specs."""
        folder = self.folder / "results" / "records" / experiment
        files = {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.glob("**/*.json*"))}
        return {
            name: json.loads(text)["text"] if name.endswith(".json") else text.strip() for name, text in files.items()
        }


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grid]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "ICRL", (sys.executable, str(FAKE)))
    yield Grid(tmp_path, monkeypatch)
