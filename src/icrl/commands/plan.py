"""`icrl reproduce --dry-run`: what there is to do, what for, and how long it takes by the records."""

from collections.abc import Iterable, Sequence
from heapq import heapreplace
from itertools import groupby
from math import isnan, log, nan
from typing import NamedTuple

from icrl.launch.runs import Run
from icrl.records import RESULTS, Record
from icrl.report.comparison import load_records
from icrl.report.tables import format_duration
from icrl.runs.provenance import Machine, made_with

FOOTNOTE = (
    "Times are by the records, compiling aside. * measured on another machine. ** scaled by env steps from another "
    "point of the grid. unknown: no record of this model here, or no model is trained."
)


class Chore(NamedTuple):
    """A command that trains no agents, and whether its result is there already."""

    arguments: tuple[str, ...]
    is_done: bool = False

    @property
    def command(self) -> str:
        """As it is typed."""
        return " ".join(("icrl", *self.arguments))


class Item(NamedTuple):
    """A line of the plan; seconds are NaN where nobody knows."""

    command: str
    state: str
    """Whether it is recorded, or why it does not count as that."""
    seconds: float = nan
    """From start to end."""
    left: float = nan
    """What of them is to be done yet."""
    mark: str = ""
    """How the seconds are known."""


def show_plan(runs: Iterable[Run], chores: Iterable[Chore], jobs: int | None = None) -> None:
    """Prints every run by what it is for, and every chore, with state and expected time; and the totals."""
    records, machine = load_records(RESULTS), made_with()["machine"]
    every = list[Item]()
    for experiment, of_experiment in groupby(runs, lambda run: f"{run.experiment.name}, {run.experiment.scale} scale"):
        items = list[Item]()
        for purpose, same in groupby(of_experiment, lambda run: run.purpose):
            print(": ".join(filter(None, (experiment, purpose))))
            items += _show([_item(run, records, machine) for run in same])
        print(f"  {_total(items)}\n")
        every += items
    together = f", {format_duration(_at_once([item.left for item in every], jobs))} with {jobs} at once" if jobs else ""
    every += _show([_chore_item(chore) for chore in chores])
    print(f"all experiments: {_total(every)}{together}\n{FOOTNOTE}")


def expected_seconds(run: Run, records: Iterable[Record], machine: Machine) -> tuple[float, float, str]:
    """Seconds of a run's training and evaluation by the nearest record of its model, and how they are known.

    The nearest is of the same point of the grid, then of this machine, then of as many env steps.
    """
    spec = run.experiment

    def distance(record: Record) -> tuple[bool, bool, float]:
        budget = abs(log(record.env_steps / spec.all_env_steps))
        return record.point != spec.point, not record.machine.is_like(machine), budget

    def is_alike(record: Record) -> bool:
        same = (record.experiment, record.scale, record.model) == (spec.name, spec.scale, spec.model_name)
        return same and bool(record.train_env_steps_per_second)

    nearest = min(filter(is_alike, records), key=distance, default=None)
    if nearest is None or not nearest.train_env_steps_per_second:
        return nan, nan, ""
    training = spec.num_seeds * spec.all_env_steps / nearest.train_env_steps_per_second
    evaluation = nearest.seconds * spec.num_seeds / len(nearest.seeds)
    at_another_point, elsewhere, _ = distance(nearest)
    return training, evaluation, "**" if at_another_point else "*" if elsewhere else ""


def _item(run: Run, records: Iterable[Record], machine: Machine) -> Item:
    training, evaluation, mark = expected_seconds(run, records, machine)
    if not (lack := run.why_unrecorded()):
        return Item(run.command, "recorded", training + evaluation, 0.0, mark)
    progress = run.progress()
    state = f"{lack}, {progress:.0%} trained" if progress else lack
    return Item(run.command, state, training + evaluation, (1 - progress) * training + evaluation, mark)


def _chore_item(chore: Chore) -> Item:
    return Item(chore.command, "recorded", left=0.0) if chore.is_done else Item(chore.command, "missing")


def _show(items: Sequence[Item]) -> Sequence[Item]:
    """Prints a line each, and gives them back."""
    command = max((len(item.command) for item in items), default=0)
    state = max((len(item.state) for item in items), default=0)
    for item in items:
        print(f"  {item.command:<{command}}  {item.state:<{state}}  {format_duration(item.seconds)}{item.mark}")
    return items


def _total(items: Sequence[Item]) -> str:
    """What they take one after another, and what of that is to be done yet."""
    whole, left = _sum([item.seconds for item in items]), _sum([item.left for item in items])
    return f"{len(items)} run{'s' * (len(items) != 1)}, {whole}; to do: {left}"


def _sum(seconds: Sequence[float]) -> str:
    known = [one for one in seconds if not isnan(one)]
    if not (unknown := len(seconds) - len(known)):
        return format_duration(sum(known))
    return f"{format_duration(sum(known))} and {unknown} unknown" if sum(known) else f"{unknown} unknown"


def _at_once(seconds: Iterable[float], jobs: int) -> float:
    """Until the last of them ends, so many at a time; of the known ones."""
    busy = [0.0] * jobs
    for one in seconds:
        heapreplace(busy, busy[0] + (0.0 if isnan(one) else one))
    return max(busy)
