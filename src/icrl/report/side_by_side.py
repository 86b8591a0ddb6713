"""Runs side by side, whosoever they are: curves, adaptation, tables, and in what their specs differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from icrl.errors import is_file_name, show
from icrl.records import Record
from icrl.report import figures
from icrl.report.comparison import label, set_apart
from icrl.report.readme import markdown_table, score_table, task_table
from icrl.report.statistics import format_number
from icrl.report.style import save
from icrl.report.tables import DASH, format_duration, return_digits

UNTOLD = ("name", "model_name", "scale", "point", "seed", "num_seeds")
"""Fields of a spec that the first table shows already."""


@dataclass(frozen=True, eq=False)
class Contender:
    """One run, as far as it is."""

    name: str
    """Its own among those it stands beside."""
    folder: Path
    spec: Mapping[str, Any]
    """Plain values."""
    manifest: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]] = ()
    record: Record | None = None
    """Its evaluation, if it has one."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The spec's fields by their paths."""


def names_of(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: what its path has of its own, without the parts that all share at start and end.

    Of `results/runs/<experiment>/<scale>/<model>/seed0` it is the model's name, where nothing else differs. Where that
    tells them not apart, or is no plain name, they are numbered.
    """
    parts = [folder.resolve().parts for folder in folders]
    shortest = min(map(len, parts))
    first = next((i for i in range(shortest) if len({part[i] for part in parts}) > 1), shortest - 1)
    last = next((i for i in range(shortest) if len({part[-1 - i] for part in parts}) > 1), 0)
    names = [" ".join(part[first : len(part) - last]) for part in parts]
    if all(map(is_file_name, names)) and len(set(map(label, names))) == len(names):
        return names
    return [f"{number} {part[-1]}"[:100] for number, part in enumerate(parts, start=1)]


def write_side_by_side(contenders: Sequence[Contender], folder: Path) -> tuple[str, list[Path]]:
    """Writes figures and `comparison.md` into a folder; gives its tables, and all paths."""
    records, why_not = comparable(contenders)
    paths = []
    curves = {contender.name: contender.metrics for contender in contenders if contender.metrics}
    metric, ylabel = next(
        ((name, words) for name, words in _CURVES.items() if any(_logs(lines, name) for lines in curves.values())),
        (None, ""),
    )
    if metric:
        figure = figures.learning_curves(curves, metric=metric, ylabel=ylabel)
        paths.append(save(figure, folder / "learning.png"))
    if records and records[0].trials > 1:
        paths.append(save(figures.adaptation_curves(records), folder / "adaptation.png"))
    if records:
        paths.append(save(figures.bars_per_task(records), folder / "tasks.png"))
    images = "\n\n".join(f"![{_CAPTIONS[path.name]}]({path.name})\n\n{_CAPTIONS[path.name]}" for path in paths)
    runs, rest = _runs_table(contenders), "\n\n".join([*_evaluations(records), why_not, _differences(contenders)])
    document = folder / "comparison.md"
    document.write_text(f"# Runs side by side\n\n{runs}\n{images}\n\n{rest.strip()}\n", encoding="utf-8")
    return f"{runs}\n{rest.strip()}\n", [*paths, document]


def comparable(contenders: Sequence[Contender]) -> tuple[list[Record], str]:
    """The evaluations on the tasks that all share, measured alike, each named after its run; and what stands apart."""
    evaluated = [(contender, contender.record) for contender in contenders if contender.record]
    without = [contender.name for contender in contenders if contender.record is None]
    said = [f"Not evaluated yet: {', '.join(without)}."] if without else []
    if not evaluated:
        return [], "No run is evaluated yet: `icrl evaluate RUN` does, and `icrl train` when it ends."
    first = evaluated[0][1]
    lengths = {contender.name: _trial(record) for contender, record in evaluated}
    if len(set(lengths.values())) > 1:
        words = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        return [], f"Their evaluations do not compare, since their trials have other lengths ({words})."
    common = [
        name
        for name, task in first.tasks.items()
        if all(name in record.tasks and record.tasks[name].split == task.split for _, record in evaluated)
    ]
    if not common:
        return [], "Their evaluations do not compare: there is no task that all were evaluated on."
    left_out = sorted({name for _, record in evaluated for name in record.tasks} - set(common))
    if left_out:
        said.append(f"Tasks of some runs only, which count nowhere here: {', '.join(left_out)}.")
    changed = [f"{contender.name} ({', '.join(record.changes)})" for contender, record in evaluated if record.changes]
    if changed:
        said.append(f"Evaluated otherwise than their specs say: {'; '.join(changed)}.")
    base = replace(first, tasks={name: first.tasks[name] for name in common}, apart=frozenset())
    alike = [replace(record.beside(base), apart=frozenset()) for _, record in evaluated]
    apart = set_apart(alike, judged=alike)  # judged by the models, before the runs' names stand in their place
    records = [replace(record, model=contender.name) for record, (contender, _) in zip(apart, evaluated, strict=True)]
    return records, "\n\n".join(said)


def _trial(record: Record) -> str:
    repeat = f", each action held for {record.action_repeat}" if (record.action_repeat or 1) > 1 else ""
    return f"{record.trial_steps} steps{repeat}"


_CURVES = {"return/last_trial": "return of the last trial", "return/mean": "return per trial"}
"""What is drawn by env steps: the first that is logged, and its words."""
_CAPTIONS = {
    "learning.png": "Return in training, mean over tasks, by env steps per seed. Bands span the seeds.",
    "adaptation.png": "Score (return, where no task has a reference) by trial of an episode, with 95 % intervals.",
    "tasks.png": "Return of the last trial, task by task, with 95 % intervals. Rings are the first trial of several.",
}


def _logs(lines: Sequence[Mapping[str, Any]], metric: str) -> bool:
    return any(line.get(metric) is not None for line in lines)


def _runs_table(contenders: Sequence[Contender]) -> str:
    headings = ["run", "experiment", "model", "seeds", "status", "env steps", "return now", "time", "folder"]
    return markdown_table(headings, [list(_run_cells(contender)) for contender in contenders])


_COUNTS = {"seed": 0, "num_seeds": 1, "total_env_steps": 0}


def _run_cells(contender: Contender) -> Iterator[str]:
    spec, lines = contender.spec, contender.metrics
    first, number, total = (int(spec.get(key, least)) for key, least in _COUNTS.items())
    done = max((line["env_steps"] for line in lines if "env_steps" in line), default=0)
    ends = {line.get("seed"): line["return/last_trial"] for line in lines if line.get("return/last_trial") is not None}
    latest = sum(ends.values()) / len(ends) if ends else None
    yield label(contender.name)
    yield " ".join(str(spec.get(key)) for key in ("name", "scale", "point") if spec.get(key))
    yield str(spec.get("model_name") or DASH)
    yield f"{first} to {first + number - 1}" if number > 1 else str(first)
    yield str(contender.manifest.get("status", DASH))
    yield f"{done:,} of {total:,}" if done < total else f"{done:,}"
    yield DASH if latest is None else format_number(latest, return_digits(latest))
    yield format_duration(float(contender.manifest.get("seconds", 0.0)))
    yield f"`{contender.folder}`"


def _evaluations(records: Sequence[Record]) -> Iterator[str]:
    """The tables of the evaluations: the mean of each split, then task by task."""
    for split in records[0].splits if records else ():
        yield f"## {records[0].split_title(split)}\n\n{score_table(records, split)}"
    if records:
        yield f"## Return per trial, first → last\n\n{task_table(records)}"


def _differences(contenders: Sequence[Contender]) -> str:
    """The fields in which the specs differ, a row each; of parts of several kinds, what they have in common."""
    rows, fields = [], [contender.fields for contender in contenders]
    for name in dict.fromkeys(name for own in fields for name in own):
        values = [show(own[name]) if name in own else DASH for own in fields]
        kinds = {own.get(f"{name.rpartition('.')[0]}.kind") for own in fields}
        foreign = DASH in values and len(kinds) > 1
        if len(set(values)) > 1 and name not in UNTOLD and not foreign:
            rows.append([f"`{name}`", *values])
    if not rows:
        return "Their specs are the same, but for names and seeds." if len(contenders) > 1 else ""
    headings = ["field", *(label(contender.name) for contender in contenders)]
    return f"## In what their specs differ\n\n{markdown_table(headings, rows)}"
