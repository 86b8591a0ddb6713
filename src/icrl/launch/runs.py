"""The runs that specs record, which of them are finished, and the records made of those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from icrl.errors import UserError
from icrl.runs.directory import EVALUATION, LOG, METRICS, SPEC, RunDirectory
from icrl.runs.disk import write_atomically
from icrl.spec.experiment import ExperimentSpec, training_changes
from icrl.spec.experiment_file import ExperimentFile
from icrl.spec.parse import difference, parse, read_yaml, to_dict

RECORDS = Path("results", "records")


@dataclass(frozen=True, eq=False)
class Run:
    """One run: a model of a spec, at a scale and perhaps at a point of its grid."""

    spec: str
    """A YAML file, or the name of a shipped one, as `icrl train` takes it."""
    experiment: ExperimentSpec
    purpose: str = ""
    """What it is for, in the spec's words."""
    num_seeds: int | None = None
    """How many seeds the spec records; None: as many as `icrl train` takes by default."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows `icrl` on the command line, devices apart."""
        experiment = self.experiment
        arguments = ["train", self.spec, "--model", experiment.model_name, "--scale", experiment.scale]
        if experiment.point:
            arguments.append(f"--point={experiment.point}")
        if self.num_seeds is not None:
            arguments += ["--num-seeds", str(self.num_seeds)]
        if self.directory != experiment.default_directory:
            arguments += ["--out", str(self.directory)]
        return tuple(arguments)

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
        """The folder it writes to: the experiment's own, or, where that holds a run of another spec, one beside it."""
        own = self.experiment.default_directory
        folders = chain([own], (own.with_name(f"{own.name}.{number}") for number in count(2)))
        return next(folder for folder in folders if not self._is_taken(folder))

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
        for folder in sorted(self.experiment.default_directory.parent.glob("seed*")):
            with suppress(UserError):
                run = RunDirectory.read(folder)
                is_done = run.manifest.get("status") == "done"
                if is_done and not self.shortfall(run.spec) and self._is_evaluated(run):
                    found.append(run)
        return max(found, key=lambda run: run.spec.get("num_seeds", 1), default=None)

    def progress(self) -> float:
        """The share of the training that lies behind in a run of it that has not ended."""
        with suppress(UserError):
            if lines := RunDirectory.read(self.directory).metrics():
                return min(1.0, lines[-1].get("env_steps", 0) / self.experiment.all_env_steps)
        return 0.0

    def is_recorded(self, num_seeds: int = 1) -> bool:
        """Whether there is a record of the same spec, with its seeds and at least `num_seeds`."""
        return not self.why_unrecorded(num_seeds)

    def why_unrecorded(self, num_seeds: int = 1) -> str:
        """What keeps a record from counting; "" if one is of the same spec with at least `num_seeds` seeds."""
        try:
            if not self.record_path().exists():
                return "missing"
            spec = read_yaml(self.record_path(".spec.yaml"))
            return self.shortfall(spec) or ("" if spec.get("num_seeds", 1) >= num_seeds else "fewer seeds")
        except UserError:
            return "recorded without a readable spec"

    def record(self) -> bool:
        """Copies the result to where `icrl report` reads it, unless a record says as much; whether there is one now."""
        finished = self.finished()
        if finished is None or self.is_recorded(finished.spec.get("num_seeds", 1)):
            return self.is_recorded()
        self.record_path().parent.mkdir(parents=True, exist_ok=True)
        # The spec comes last: with it the record counts.
        for name, suffix in ((EVALUATION, ".json"), (METRICS, ".metrics.jsonl"), (SPEC, ".spec.yaml")):
            write_atomically(self.record_path(suffix), (finished.path / name).read_text(encoding="utf-8"))
        return True

    def record_path(self, suffix: str = ".json") -> Path:
        """The file of its record that ends so."""
        experiment = self.experiment
        name = "-".join(filter(None, (experiment.model_name, experiment.point)))
        return RECORDS / experiment.name / experiment.scale / f"{name}{suffix}"

    def shortfall(self, spec: Mapping[str, Any]) -> str:
        """What a run of this plain spec lacks to be this one, whatever other seeds it has; "" if nothing.

        Raises:
            SpecError: it is none of this icrl's.
        """
        other = parse(ExperimentSpec, spec)
        wanted, there = {*self.experiment.seeds}, {*other.seeds}
        other = replace(other, seed=self.experiment.seed, num_seeds=self.experiment.num_seeds)
        if changes := difference(to_dict(other, "evaluation"), to_dict(self.experiment, "evaluation")):
            return f"recorded with another spec, {'; '.join(changes[:2])}{' ...' if changes[2:] else ''}"
        return "" if wanted <= there else f"recorded with {len(wanted & there)} of {len(wanted)} seeds"

    def _is_taken(self, folder: Path) -> bool:
        """Whether a folder holds a run that `icrl train` would refuse to resume as this one."""
        with suppress(UserError):
            return bool(training_changes(RunDirectory.read(folder).spec, to_dict(self.experiment)))
        return False

    def _is_evaluated(self, run: RunDirectory) -> bool:
        """Whether the evaluation in a run of it is the one that the spec describes, of the whole training."""
        evaluation = run.read_json(EVALUATION)
        if not isinstance(evaluation, dict):
            return False
        return evaluation.get("changes") == [] and evaluation.get("env_steps") == self.experiment.all_env_steps


def runs_of(spec: str, scale: str | None) -> Iterator[Run]:
    """What a spec records at one scale: its models at every point of its grid, and off it where there is none.

    Raises:
        SpecError: the spec is wrong.
    """
    file = ExperimentFile(spec, scale)
    for point in (None, *file.points):
        record = file.record(point)
        if point is None and file.points and not record.off_grid:
            continue
        recorded = dict.fromkeys(file.models) if record.num_seeds is None else record.num_seeds
        for model, num_seeds in recorded.items():
            experiment = file.experiment(model, point, num_seeds=num_seeds)
            yield Run(spec, experiment, record.purpose, num_seeds)
