"""results/README.md: every number and every figure in it comes from a record."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from icrl.records import ALONE, Record, Split
from icrl.report.benchmark_tables import BENCHMARKS, skipped
from icrl.report.comparison import MEMORYLESS, NEAR_SPECIALIST, Comparison, label, on_ladder
from icrl.report.grid import Grid, mebibytes_per_seed, seconds_per_seed
from icrl.report.intervals import gain, last_return, last_trial_iqm, means, task_returns
from icrl.report.paper import PAPER, ours_beside, verdict
from icrl.report.statistics import Interval, format_number
from icrl.report.tables import DASH, format_known, return_digits, split_words
from icrl.runs.provenance import Machine

INTRODUCTION = f"""\
# Results

Made by `icrl report` from the records under `records/` and `references/`: change those, not this file.

The **score** of a task is (return per trial − floor) / (specialist − floor). The floor is the better of a
random and a do-nothing policy; the specialist was trained on that task alone, without projections. The
**gain** is the last trial minus the first of the same episode, and the last trial is the last that training
knew. Nothing is learned by gradient steps during an evaluation: what rises within an episode is adaptation.
Scores are means over tasks, seeds and episodes; the **IQM** is the interquartile mean over all pairs of a
seed and a task. Brackets are 95 % percentile bootstrap intervals over seeds and episodes (Agarwal et al.
2021, arXiv 2108.13264), the references taken as exact. A model is **above the memoryless** one where its
interval of the last trial lies wholly above the other's. A task on which the memoryless agent itself scores
above {NEAR_SPECIALIST} in its last trial asks for no adaptation: it counts in no mean, and the tables say so.
"""


HOW = (
    "A command made its row at the commit beside it; `icrl reproduce` makes it now. Where the spec has changed since, "
    "the record's `.spec.yaml` says what it was. Seconds compare "
    f"where one machine took them with fewer than {ALONE} cores busy with other programs; – says that nobody knows.\n"
)
"""Above what the records were made by."""


def write_readme(
    comparisons: Iterable[Comparison],
    captions: Mapping[str, Mapping[Path, str]],
    path: Path,
    grids: Iterable[Grid] = (),
    benchmarks: Iterable[str] = (),
) -> Path:
    """Write the Markdown of all comparisons and grids, and sections of benchmarks; return its path.

    `captions` of figures are by their names.
    """
    sections = experiment_sections(comparisons, captions, path.parent, grids).values()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([INTRODUCTION, *sections, *benchmarks]), encoding="utf-8")
    return path


def experiment_sections(
    comparisons: Iterable[Comparison],
    captions: Mapping[str, Mapping[Path, str]],
    folder: Path,
    grids: Iterable[Grid] = (),
) -> dict[str, str]:
    """The Markdown of every comparison and grid by its name; figures have captions and are linked from ``folder``."""
    sections = {c.name: _section(c, _figures(captions.get(c.name, {}), folder)) for c in comparisons}
    return sections | {g.name: _grid_section(g, _figures(captions.get(g.name, {}), folder)) for g in grids}


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; bars inside cells are escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def _figures(captions: Mapping[Path, str], folder: Path) -> list[str]:
    return [
        f"![{path.stem}]({Path(os.path.relpath(path, folder)).as_posix()})\n\n{caption}\n"
        for path, caption in captions.items()
    ]


def _section(comparison: Comparison, illustrations: Sequence[str]) -> str:
    first = comparison.headline[0]
    projections = f" under unseen `{first.rung}` projections" if first.rung else ""
    trials = f"{first.trials} trials" if first.trials > 1 else "one trial"
    horizon = f"; training knew {first.trials_per_episode} trials" if first.trials > 1 else ""
    parts = [
        f"## {comparison.experiment}, {comparison.scale} scale{f', {comparison.point}' if comparison.point else ''}\n",
        f"Episodes of {trials} of at most {first.trial_steps} steps{projections}{horizon}.\n",
        *illustrations[:1],
    ]
    for split in first.splits:
        parts += [f"### {first.split_title(split)}\n", score_table(comparison.headline, split)]
    if comparison.has_ladder:
        parts += ["### Ladder of projections\n", _ladder_table(comparison.records)]
    ends = ", first → last" if first.last_trial else ""
    parts += [f"### Return per trial{ends}\n", task_table(comparison.headline)]
    parts += [_beside_the_paper(comparison.experiment, comparison.headline)]
    parts += illustrations[1:]
    parts += ["### How it was made\n", HOW, _provenance_table(comparison.records), _origins(comparison)]
    return "\n".join(parts)


def _grid_section(grid: Grid, illustrations: Sequence[str]) -> str:
    records = {(grid.point_of(record), record.model): record for record in grid.records}
    headings = [f"{label(model)}: {what}" for model in grid.models for what in ("return", "s per seed", "MiB per seed")]
    rows = [
        [point.replace("_", " "), *(cell for model in grid.models for cell in _grid_cells(records.get((point, model))))]
        for point in grid.points
    ]
    return "\n".join(
        [
            f"## {grid.experiment}, {grid.scale} scale{f', {grid.regime}' if grid.regime else ''}\n",
            "Every model was trained anew at every point of the grid.\n",
            *illustrations,
            markdown_table([grid.experiment.replace("_", " "), *headings], rows),
            _beside_the_paper(grid.experiment, grid.records),
            "### How it was made\n",
            HOW,
            _provenance_table(grid.records),
            _machines(grid.records),
        ]
    )


def benchmark_section(
    name: str, record: Mapping[str, Any], figures: Mapping[Path, str], folder: Path, experiment: str = ""
) -> str:
    """The Markdown of one of the `BENCHMARKS`; its figures have captions and are linked from ``folder``."""
    title, tables_of = BENCHMARKS[name]
    machine = ", ".join(f"{key} {_words(value)}" for key, value in record["machine"].items())
    unmeasured = " On an accelerator: unmeasured." if record["machine"].get("devices") == ["cpu"] else ""
    return "\n".join(
        [
            f"## {title}{f', {experiment}' if experiment else ''}\n",
            "Medians of interleaved repetitions, with their middle half in brackets.\n",
            *_figures(figures, folder),
            *(_from_terminal(table) for table in tables_of(record)),
            *(f"{line}\n" for line in skipped(record)),
            f"Made at {_short(record['git_commit'])} by `{record['command']}`. Machine: {machine}.{unmeasured}\n",
        ]
    )


def _from_terminal(table: Table) -> str:
    rows = zip(*(column.cells for column in table.columns), strict=True)
    caption = f"\n{table.caption}.\n" if table.caption else ""
    return markdown_table([str(column.header) for column in table.columns], rows) + caption


def _grid_cells(record: Record | None) -> list[str]:
    if record is None:
        return [DASH] * 3
    costs = format_known(seconds_per_seed(record), 0), format_known(mebibytes_per_seed(record), 1)
    return [last_return(record).format(), *costs]


def score_table(records: Sequence[Record], split: Split) -> str:
    """First and last trial of every record, and what was gained: mean over the tasks of a split."""
    measure = records[0].measure(split)
    headings = [f"{measure}, first trial", f"{measure}, last trial", "gain", "IQM, last trial"]
    single = records[0].last_trial == 0
    if single:
        headings = [measure, "IQM"]
    ends = {record.model: _ends(record, split) for record in records}
    rows = []
    for record in records:
        above = DASH
        if MEMORYLESS in ends and record.model != MEMORYLESS:
            above = "yes" if ends[record.model][1].is_above(ends[MEMORYLESS][1]) else "no"
        first_trial, last_trial = ends[record.model]
        iqm = last_trial_iqm(record, split)
        intervals = (last_trial, iqm) if single else (first_trial, last_trial, gain(record, split), iqm)
        rows.append([label(record.model), *(interval.format() for interval in intervals), above])
    return markdown_table(["model", *headings, "above memoryless"], rows) + _left_out(records[0], split)


def _left_out(record: Record, split: Split) -> str:
    """Which tasks of a split are in no mean score, and why."""
    reasons = {
        "the memoryless agent comes near the specialist there": record.uncounted(split),
        "there is no reference, hence no score": record.unscored(split) if record.counted(split) else [],
    }
    return "".join(
        f"\nWithout {', '.join(f'`{name}`' for name in names)}: {why}.\n" for why, names in reasons.items() if names
    )


def _beside_the_paper(experiment: str, records: Sequence[Record]) -> str:
    """What the paper published beside ours, a row per model and thing measured; "" if we hold none of it."""
    published = PAPER.get(experiment)
    ours = ours_beside(published, records) if published else []
    if not published or not ours:
        return ""
    digits = return_digits(*(interval.estimate for _, _, interval in ours))
    nothing = [published.doing_nothing(record, what) for what, record, _ in ours]
    rows = [
        [
            what.replace("_", " "),
            label(record.model),
            published.values[what].get(record.model, DASH),
            interval.format(digits) if interval.low < interval.high else format_number(interval.estimate, digits),
            *([format_known(earned, digits)] if any(nothing) else []),
            *([verdict(published, what, record, interval) or DASH] if published.within is not None else []),
            str(len(record.seeds)),
            f"{record.env_steps:,}",
        ]
        for (what, record, interval), earned in zip(ours, nothing, strict=True)
    ]
    headings = ["", "model", "the paper", "ours", *(["doing nothing"] if any(nothing) else [])]
    headings += ["verdict"] if published.within is not None else []
    return "\n".join(
        [
            "### Beside the paper\n",
            f"The {published.measure}; the paper's from {published.source}.\n",
            markdown_table([*headings, "our seeds", "our env steps per seed"], rows),
        ]
    )


def _ladder_table(records: Sequence[Record]) -> str:
    splits = records[0].splits
    headings = [
        f"{records[0].split_title(split).lower()}: {trial} trial" for split in splits for trial in ("first", "last")
    ]
    rows = [
        [
            record.rung,
            label(record.model),
            *(end.format() for split in splits for end in _ends(record, split)),
        ]
        for record in records
    ]
    return markdown_table(["projections", "model", *headings], rows)


def _ends(record: Record, split: Split) -> tuple[Interval, Interval]:
    """The mean score, or return, of the first trial and of the last."""
    trials = means(record, split)
    return trials[0], trials[record.last_trial]


def task_table(records: Sequence[Record]) -> str:
    """Return of the first and the last trial, a row per task and a column per record."""
    rows = []
    for split in records[0].splits:
        for name in records[0].split(split):
            reference = records[0].reference(name)
            anchors = (reference.random, reference.do_nothing, reference.specialist)
            returns = [task_returns(record, name) for record in records]
            ends = [(r[0], r[record.last_trial]) for r, record in zip(returns, records, strict=True)]
            digits = return_digits(*anchors, *(end.estimate for pair in ends for end in pair))
            starts = [
                f"{format_number(first.estimate, digits)} → " if records[0].last_trial else "" for first, _ in ends
            ]
            cells = [start + last.format(digits) for start, (_, last) in zip(starts, ends, strict=True)]
            rows.append([name, split_words(split), *(format_known(x, digits) for x in anchors), *cells])
    models = [label(record.model) for record in records]
    return markdown_table(["task", "split", "random", "do nothing", "specialist", *models], rows)


def _short(git_commit: str | None) -> str:
    """A commit's first nine digits, and whether files differed from it."""
    if git_commit is None:
        return DASH
    digits, _, dirty = git_commit.partition("-")
    return "-".join(filter(None, (digits[:9], dirty)))


def _provenance_table(records: Sequence[Record]) -> str:
    headings = [
        "model",
        "projections",
        "seeds",
        "env steps per seed",
        "parameters",
        "training, s (all seeds)",
        "env steps/s",
        "cores busy with others",
        "episodes per seed and task",
        "evaluation, s",
        "commit",
        "command",
    ]
    return markdown_table(headings, [_provenance_row(record) for record in records])


def _provenance_row(record: Record) -> list[str]:
    return [
        label(record.model) if on_ladder(record) else f"{label(record.model)} at {record.point}",
        record.rung or DASH,
        str(len(record.seeds)),
        f"{record.env_steps:,}",
        f"{record.num_parameters:,}",
        format_known(record.train_seconds, 0),
        format_known(record.train_env_steps_per_second, 0),
        format_known(record.train_other_cores, 2),
        str(record.num_episodes),
        format_known(record.seconds, 1),
        _short(record.git_commit),
        f"`{record.command}`",
    ]


def _origins(comparison: Comparison) -> str:
    """Where the references and the seconds come from."""
    machines = _machines(comparison.records)
    return f"References: `{comparison.references.command}`.\n\n{machines}" if comparison.references else machines


def _machines(records: Sequence[Record]) -> str:
    machines = dict.fromkeys(
        ", ".join(f"{key} {_words(value)}" for key, value in asdict(record.machine).items() if value)
        for record in records
        if record.machine != Machine()
    )
    return "\n".join(f"Machine: {machine}.\n" for machine in machines)


def _words(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
