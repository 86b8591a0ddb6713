"""The experiments of a YAML file: its models, at its scales, at the points of its grid.

Besides the fields of `ExperimentSpec`, a file holds `models`, the named variants it compares, `scales`, named sets of
changes, and perhaps a `grid`, named points that are sets of changes too, `per_model`, the changes that go with some
of the models, such as a learning rate of their own, and a `record` (`RecordSpec`): which of all these runs are
published. A list of grids has a point for every combination, such as `64-truncated`.
Later beats earlier: the file, the scale's changes, the point's, the model's, `key.path=value` overrides, options.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import getitem
from typing import Any

from icrl.errors import Problem, SpecError, did_you_mean, show
from icrl.fields import PositiveInt, Spec
from icrl.plugins import search
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.parse import apply_overrides, merge, parse, read_yaml
from icrl.spec.shipped import find_spec_file


@dataclass(frozen=True)
class RecordSpec(Spec):
    """What `icrl reproduce` trains and records of a file: its section `record`.

    A scale's and a point's may have one too: each field that it gives replaces the one around it whole.
    """

    purpose: str = ""
    """What the records are for: a figure, a claim."""
    num_seeds: dict[str, PositiveInt] | None = None
    """Seeds of each model that is recorded; null: every model, with the spec's own `num_seeds`."""
    off_grid: bool = False
    """Whether the file as it is, off its grid, is recorded too; where there is no grid it always is."""
    references: bool = False
    """Whether what scores are measured against is made too, by `icrl references`."""


class ExperimentFile:
    """A YAML file at one of its scales: each of its models, at each point of its grid or off it, is an experiment."""

    def __init__(self, name_or_path: str, scale: str | None = None) -> None:
        """Reads it. Args and Raises are those of `load_experiment`."""
        path = find_spec_file(name_or_path)
        search(path.parent)
        data = read_yaml(path)
        scales = _named("scales", data.pop("scales", None))
        self.scale, changes = _choose("scale", scales, scale or data.get("default_scale"))
        data = _overlay(data, changes)
        data.pop("default_scale", None)
        self.points = _points(data.pop("grid")) if "grid" in data else {}
        """The sets of changes that make each point of the grid, by its name."""
        self._default_model = data.pop("default_model", None)
        self._data = {"name": path.stem} | data
        self.models = tuple(_named("models", data.get("models")))
        """Names of the variants compared."""

    def experiment(
        self, model: str | None = None, point: str | None = None, overrides: Sequence[str] = (), **options: Any
    ) -> ExperimentSpec:
        """One experiment of the file. Args and Raises are those of `load_experiment`."""
        data = self._at(point)
        self._parse_record(data.pop("record", {}))
        model, model_data = _choose("model", _named("models", data.pop("models")), model or self._default_model)
        if "per_model" in data:
            per_model = _named("per_model", data.pop("per_model"))
            self._refuse_unknown_models("per_model", per_model)
            data = _overlay(data, per_model.get(model, {}))
        names = {"model_name": model, "scale": self.scale, "point": point or ""}
        _refuse_reserved(data, ("model", *names))
        data = apply_overrides(data | {"model": model_data}, overrides)
        _refuse_reserved(data, names)
        given = {key: value for key, value in options.items() if value is not None}
        return parse(ExperimentSpec, data | given | names)

    def record(self, point: str | None = None) -> RecordSpec:
        """What is recorded at a point of the grid, or off it."""
        return self._parse_record(self._at(point).get("record", {}))

    def _at(self, point: str | None) -> dict[str, Any]:
        """The file's plain values at a point of its grid, or off it."""
        if point is None:
            return dict(self._data)
        if not self.points:
            raise SpecError([Problem("point", show(point), f"none, since there is no grid at {self.scale} scale")])
        return reduce(_overlay, _choose("point", self.points, point)[1], self._data)

    def _parse_record(self, data: Any) -> RecordSpec:
        record = parse(RecordSpec, data, "record")
        self._refuse_unknown_models("record.num_seeds", record.num_seeds or ())
        return record

    def _refuse_unknown_models(self, section: str, names: Iterable[str]) -> None:
        expected = f"one of {', '.join(self.models)}"
        unknown = [
            Problem(f"{section}.{name}", "an unknown model", expected, did_you_mean(name, self.models))
            for name in names
            if name not in self.models
        ]
        if unknown:
            raise SpecError(unknown)


def load_experiment(
    name_or_path: str,
    *,
    model: str | None = None,
    scale: str | None = None,
    point: str | None = None,
    overrides: Sequence[str] = (),
    **options: Any,
) -> ExperimentSpec:
    """The experiment that a file describes, for one of its models and scales, and one of its points if it has a grid.

    Args:
        name_or_path: a YAML file, or the name of a shipped one.
        model: one of the file's `models`; by default its `default_model`.
        scale: one of the file's `scales`; by default its `default_scale`.
        point: one of the points of the file's, or the scale's, `grid`; by default the file as it is.
        overrides: ``key.path=value`` assignments.
        options: further fields to set, unless None.

    Raises:
        SpecError: every mistake found, at once.
    """
    return ExperimentFile(name_or_path, scale).experiment(model, point, overrides, **options)


def _refuse_reserved(data: Mapping[str, Any], reserved: Iterable[str]) -> None:
    """Raises SpecError where a file or an override sets what only choosing a model, scale and point may set."""
    problems = [
        Problem(
            key, show(data[key]), "no value", "choose from models:, scales: and grid: with --model, --scale and --point"
        )
        for key in reserved
        if key in data
    ]
    if problems:
        raise SpecError(problems)


def _points(grid: Any) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """The sets of changes of every point by its name: of a grid, or of every combination of a list of grids."""
    if isinstance(grid, list) and grid:
        axes = [_named(f"grid[{index}]", axis) for index, axis in enumerate(grid)]
    else:
        axes = [_named("grid", grid)]
    return {"-".join(names): tuple(map(getitem, axes, names)) for names in product(*axes)}


def _overlay(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` merged into `base`; of `record`, each field is replaced whole."""
    merged = merge(base, changes)
    outer, inner = base.get("record"), changes.get("record")
    if isinstance(outer, Mapping) and isinstance(inner, Mapping):
        merged["record"] = {**outer, **inner}
    return merged


def _named(section: str, found: Any) -> Mapping[str, Any]:
    if not isinstance(found, Mapping) or not found:
        got = "nothing" if found is None else show(found)
        raise SpecError([Problem(section, got, "a mapping from names to settings, with at least one")])
    for name, settings in found.items():
        if not isinstance(settings, Mapping | None):
            raise SpecError([Problem(f"{section}.{name}", show(settings), "a mapping")])
    return {str(name): settings or {} for name, settings in found.items()}


def _choose(what: str, named: Mapping[str, Any], wanted: Any) -> tuple[str, Any]:
    wanted = next(iter(named)) if wanted is None else wanted
    if not isinstance(wanted, str) or wanted not in named:
        raise SpecError([Problem(what, show(wanted), f"one of {', '.join(named)}", did_you_mean(wanted, named))])
    return wanted, named[wanted]
