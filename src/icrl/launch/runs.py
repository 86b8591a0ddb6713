"""The runs that specs describe, which of them are finished, and the records made of those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from icrl.errors import UserError
from icrl.runs.directory import EVALUATION, LOG, METRICS, SPEC, RunDirectory
from icrl.runs.disk import write_atomically
from icrl.spec.experiment import ExperimentSpec, load_experiment, model_names, point_names
from icrl.spec.parse import parse, read_yaml, to_dict

RECORDS = Path("results", "records")


@dataclass(frozen=True, eq=False)
class Run:
    """One run: a model of a spec, at a scale and perhaps at a point of its grid."""

    spec: str
    """A YAML file, or the name of a shipped one, as `icrl train` takes it."""
    experiment: ExperimentSpec

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows `icrl` on the command line, devices apart."""
        experiment = self.experiment
        point = (f"--point={experiment.point}",) if experiment.point else ()
        return ("train", self.spec, "--model", experiment.model_name, "--scale", experiment.scale, *point)

    @property
    def command(self) -> str:
        """The command that makes it."""
        return " ".join(("icrl", *self.arguments))

    @property
    def name(self) -> str:
        """What messages call it."""
        experiment = self.experiment
        return " ".join(filter(None, (experiment.name, experiment.scale, experiment.model_name, experiment.point)))

    @property
    def directory(self) -> Path:
        """The folder it writes to."""
        return self.experiment.default_directory

    @property
    def log(self) -> Path:
        """The file in that folder that takes what it says."""
        return self.directory / LOG

    def devices(self, most: int) -> int:
        """As many devices, up to so many, as can share it equally."""
        return max(count for count in range(1, most + 1) if self.experiment.equal_shares % count == 0)

    def finished(self) -> RunDirectory | None:
        """The run directory that holds its result: of the same spec, with its seeds and the most besides; or None."""
        found = []
        for folder in sorted(self.directory.parent.glob("seed*")):
            with suppress(UserError):
                run = RunDirectory.read(folder)
                if run.manifest.get("status") == "done" and self._is_in(run.spec) and self._is_evaluated(run):
                    found.append(run)
        return max(found, key=lambda run: run.spec.get("num_seeds", 1), default=None)

    def is_recorded(self, num_seeds: int = 1) -> bool:
        """Whether there is a record of the same spec, with its seeds and at least `num_seeds`."""
        with suppress(UserError):
            spec = read_yaml(self._record(".spec.yaml"))
            return self._record(".json").exists() and self._is_in(spec) and spec.get("num_seeds", 1) >= num_seeds
        return False

    def record(self) -> bool:
        """Copies the result to where `icrl report` reads it, unless a record says as much; whether there is one now."""
        finished = self.finished()
        if finished is None or self.is_recorded(finished.spec.get("num_seeds", 1)):
            return self.is_recorded()
        self._record("").parent.mkdir(parents=True, exist_ok=True)
        # The spec comes last: with it the record counts.
        for name, suffix in ((EVALUATION, ".json"), (METRICS, ".metrics.jsonl"), (SPEC, ".spec.yaml")):
            write_atomically(self._record(suffix), (finished.path / name).read_text(encoding="utf-8"))
        return True

    def _record(self, suffix: str) -> Path:
        experiment = self.experiment
        name = "-".join(filter(None, (experiment.model_name, experiment.point)))
        return RECORDS / experiment.name / experiment.scale / f"{name}{suffix}"

    def _is_in(self, spec: Mapping[str, Any]) -> bool:
        """Whether a run of this plain spec trained and evaluated the same agents, whatever others beside them."""
        other = parse(ExperimentSpec, spec)
        same_seeds = replace(other, seed=self.experiment.seed, num_seeds=self.experiment.num_seeds)
        return {*self.experiment.seeds} <= {*other.seeds} and _numbers(same_seeds) == _numbers(self.experiment)

    def _is_evaluated(self, run: RunDirectory) -> bool:
        """Whether the evaluation in a run of it is the one that the spec describes, of the whole training."""
        evaluation = run.read_json(EVALUATION)
        if not isinstance(evaluation, dict):
            return False
        return evaluation.get("changes") == [] and evaluation.get("env_steps") == self.experiment.all_env_steps


def _numbers(experiment: ExperimentSpec) -> dict[str, Any]:
    """All that determines an experiment's numbers."""
    return to_dict(experiment, determining="evaluation")


def runs_of(spec: str, scale: str | None) -> Iterator[Run]:
    """Every model of a spec at one scale, at every point if there is a grid.

    Raises:
        SpecError: the spec is wrong.
    """
    for point in point_names(spec, scale) or (None,):
        for model in model_names(spec):
            yield Run(spec, load_experiment(spec, model=model, scale=scale, point=point))
