"""A results folder as comparisons: the records of one experiment at one scale, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from icrl.envs.ladder import RUNGS
from icrl.errors import UserError
from icrl.records import Record, References, load_record, load_references, read_metrics

MEMORYLESS = "mlp"
"""The model without memory: a score it reaches too needs no adaptation."""
NEAR_SPECIALIST = 0.5
"""A task on which the memoryless agent scores more, nearer the specialist than the floor, asks for no adaptation."""
MODEL_LABELS = {
    "s5": "S5",
    "s5_no_reset": "S5 without reset",
    "s5_selective": "Selective S5",
    "gru": "GRU",
    "lstm": "LSTM",
    "deltanet": "DeltaNet",
    "s5_deltanet": "S5 and DeltaNet",
    "transformer": "Transformer",
    "s5_equal_time": "S5, PPO for as long",
    "s5_muesli": "S5, Muesli",
    "s5_muesli_no_model": "S5, Muesli without model loss",
    "s5_muesli_no_cmpo": "S5, Muesli without CMPO",
    "s5_muesli_5_steps": "S5, Muesli, 5 model steps",
    "lstm_equal_time": "LSTM, PPO for as long",
    "lstm_muesli": "LSTM, Muesli",
    MEMORYLESS: "MLP (memoryless)",
}
"""The models as a reader sees them, in the order of every table and legend."""


@dataclass(frozen=True)
class Comparison:
    """The records of one experiment at one scale: those that share its ladder of projections, or one other point."""

    experiment: str
    scale: str
    headline: tuple[Record, ...]
    """One record per model, all on one rung: of the records named <model>.json, those on the highest."""
    records: tuple[Record, ...]
    """Every record, from the lowest rung to the highest."""
    references: References | None = None
    """What its scores are measured against, if the results folder holds it."""
    metrics: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The training metrics of headline models, where they were kept beside the record."""

    @classmethod
    def of(cls, record: Record, memoryless: Record | None = None) -> Comparison:
        """One evaluation, beside what `memoryless_of` found."""
        records = [record, memoryless] if memoryless else [record]
        records = tuple(set_apart(records, judged=records))
        return cls(record.experiment, record.scale, headline=records, records=records)

    @property
    def point(self) -> str:
        """The point of the grid that all records are of; empty for those of the ladder."""
        return _point_off_ladder(self.headline[0])

    @property
    def name(self) -> str:
        """What its figures are named after."""
        return "-".join(filter(None, (self.experiment, self.scale, self.point)))

    @property
    def has_ladder(self) -> bool:
        """Whether its records climb more than one rung."""
        return len({record.rung for record in self.records}) > 1


def on_ladder(record: Record) -> bool:
    """Whether it stands beside the records off the grid: as one of them, or at a point named after its projections."""
    return record.point in ("", record.rung)


def _point_off_ladder(record: Record) -> str:
    return "" if on_ladder(record) else record.point


def rung_order(rung: str) -> tuple[Any, ...]:
    """Sort key of a rung; "a/b" is a for observations and b for actions. Unknown rungs come last."""
    return tuple((place(RUNGS, part), part) for part in rung.split("/"))


def model_order(model: str) -> tuple[bool, int, str]:
    """Sort key of a model: those of `MODEL_LABELS`, then unknown ones, the memoryless one last."""
    return model == MEMORYLESS, place(tuple(MODEL_LABELS), model), model


def place(names: Sequence[str], name: str) -> int:
    """The index of a name, or the end if it is not among them."""
    return names.index(name) if name in names else len(names)


def label(model: str) -> str:
    """The name of a model as a reader sees it."""
    return MODEL_LABELS.get(model, model)


def memoryless_of(record: Record, records: Iterable[Record]) -> Record | None:
    """The memoryless agent's record under the same conditions, on the tasks of `record`, if there is one."""
    if record.model == MEMORYLESS:
        return None
    for other in records:
        same = _conditions(other) == _conditions(record) and record.tasks.keys() <= other.tasks.keys()
        if other.model == MEMORYLESS and same:
            return other.beside(record)
    return None


def load_records(results: Path, experiment: str | None = None) -> list[Record]:
    """The records of a results folder, or of one experiment, measured against the folder's references; [] if none.

    Raises UserError if a record or a reference is malformed: file and field, got, expected.
    """
    references = _load_references(results, experiment)
    records = [load_record(path) for path in _json_files(results / "records" / (experiment or ""))]
    return [
        replace(record, references=found.references) if (found := _references_of(record, references)) else record
        for record in records
    ]


def load_comparisons(results: Path) -> list[Comparison]:
    """The comparisons of a results folder, by experiment, scale and point; none only if it holds grids instead.

    Raises UserError if there is no record, a file is malformed, or records that stand side by side differ in
    their tasks, trials or references.
    """
    records = load_records(results)
    if not records:
        raise UserError(
            f"{results}: got no record; expected {results}/records/<experiment>/<scale>/<model>.json; "
            "run `icrl evaluate` and copy its evaluation.json there, or name another results folder"
        )
    references = _load_references(results)
    compared, _ = by_point(records)
    return [_compare(group, references) for _, group in sorted(compared.items())]


def by_point(records: Iterable[Record]) -> tuple[dict[tuple[str, str, str], list[Record]], list[Record]]:
    """Records by experiment, scale and point, where one stands on a ladder; and the rest, for `icrl.report.grid`.

    Those of a ladder have the empty point. Where an experiment has none, its points are a grid.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.experiment, record.scale, _point_off_ladder(record)), []).append(record)
    compared = {key: group for key, group in groups.items() if (*key[:2], "") in groups}
    return compared, [record for key, group in groups.items() if key not in compared for record in group]


def _compare(records: list[Record], references: list[References]) -> Comparison:
    records = sorted(records, key=lambda r: (rung_order(r.rung), model_order(r.model), r.source))
    _check_comparable(records)
    records = set_apart(records, judged=_headline(records))
    headline = _headline(records)
    return Comparison(
        experiment=headline[0].experiment,
        scale=headline[0].scale,
        headline=tuple(headline),
        records=tuple(records),
        references=_references_of(headline[0], references),
        metrics={record.model: lines for record in headline if (lines := read_metrics(record))},
    )


def _headline(records: Sequence[Record]) -> list[Record]:
    named = [record for record in records if Path(record.source).stem == record.model] or records
    return [record for record in named if record.rung == named[-1].rung]


def set_apart(records: Sequence[Record], judged: Sequence[Record]) -> list[Record]:
    """The records, with the tasks apart on which the memoryless one of those judged comes near the specialist."""
    apart = frozenset(
        name
        for record in judged
        if record.model == MEMORYLESS
        for name in record.tasks
        if (score := record.score(name)) is not None and score[:, :, record.last_trial].mean() > NEAR_SPECIALIST
    )
    return [replace(record, apart=apart) for record in records] if apart else list(records)


def _check_comparable(records: list[Record]) -> None:
    """Refuse records that cannot stand side by side."""
    first = records[0]
    refuse_twins(records, lambda record: record.rung, lambda rung: f"on the same projections ({rung or 'none'})")
    for record in records:
        if _layout(record) != _layout(first):
            raise UserError(
                f"{record.source}: got {_layout(record)}; expected {_layout(first)} as in {first.source}; "
                "evaluate both on the same tasks, trials and references"
            )


def refuse_twins(records: Iterable[Record], condition: Callable[[Record], str], describe: Callable[[str], str]) -> None:
    """Raises UserError if two records are of one model under one condition, which `describe` puts into words."""
    seen: dict[tuple[str, str], Record] = {}
    for record in records:
        twin = seen.setdefault((condition(record), record.model), record)
        if twin is not record:
            raise UserError(
                f"{record.source}: got a second record of {record.model} {describe(condition(record))}; "
                f"expected {twin.source} alone; delete one of them"
            )


def _layout(record: Record) -> str:
    reference = {name: "" if record.score(name) is not None else ", no reference" for name in record.tasks}
    tasks = ", ".join(sorted(f"{name} ({task.split}{reference[name]})" for name, task in record.tasks.items()))
    return f"{record.trials} trials of {record.trial_steps} steps, on {tasks}"


def _conditions(record: Record) -> tuple[Any, ...]:
    return record.experiment, record.scale, record.point, record.rung, record.trial_steps


def _load_references(results: Path, experiment: str | None = None) -> list[References]:
    paths = _json_files(results / "references")
    return [load_references(path) for path in paths if experiment in (None, path.stem)]


def _json_files(folder: Path) -> list[Path]:
    """Those below a folder, but for hidden ones and those in hidden folders, which editors and systems leave."""
    paths = [path for path in folder.glob("**/*.json") if "/." not in f"/{path.relative_to(folder).as_posix()}"]
    return sorted(paths)


def _references_of(record: Record, references: list[References]) -> References | None:
    of_experiment = [candidate for candidate in references if candidate.experiment == record.experiment]
    return next((one for one in of_experiment if one.fit(record.trial_steps, record.action_repeat)), None)
