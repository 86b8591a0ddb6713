"""The table on the terminal after `icrl train` and `icrl evaluate`."""

from __future__ import annotations

from math import isnan

from rich import box
from rich.console import Console
from rich.table import Table

from icrl.records import Record, Split
from icrl.report.comparison import label
from icrl.report.intervals import mean_returns, mean_scores, task_returns, task_scores
from icrl.report.statistics import Interval, format_number

DASH = "–"
"""Stands for what nobody measured."""
SPLIT_WORDS = {"train": "training", "held_out": "held out"}
WIDTH_WITHOUT_TERMINAL = 120


def print_evaluation(record: Record, memoryless: Record | None = None) -> None:
    """Print `evaluation_table` to stdout, without intervals if the terminal is too narrow for them."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH_WITHOUT_TERMINAL)
    table = evaluation_table(record, memoryless)
    if console.measure(table, options=console.options.update(width=1000)).maximum > console.width:
        table = evaluation_table(record, memoryless, intervals=False)
    console.print(table)


def evaluation_table(record: Record, memoryless: Record | None = None, *, intervals: bool = True) -> Table:
    """Returns and scores of the first and the last trial of an episode, by task, and the mean of each split.

    `memoryless` is the recorded evaluation of the memoryless agent under the same conditions: the return of
    its last trial stands beside the references.
    """
    table = Table(
        title=f"{label(record.model)} on {record.experiment}"
        + (f", unseen projections ({record.rung})" if record.rung else ""),
        caption=_caption(record, intervals),
        box=box.SIMPLE_HEAD,
        padding=0,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("", overflow="fold")
    for heading in (
        "return\nfirst",
        "return\nlast",
        "random",
        "do\nnothing",
        "memory-\nless",
        "special-\nist",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("score\nfirst", "score\nlast"):
        table.add_column(heading, justify="right", no_wrap=True, style="bold")
    for split in record.splits:
        table.add_row(split_words(split, " tasks"), style="bold")
        for name in record.split(split):
            mark = "*" if name in record.uncounted(split) else ""
            table.add_row(name + mark, *_task_cells(record, name, memoryless, intervals))
        returns, scores = mean_returns(record, split), mean_scores(record, split)
        digits = return_digits(*(interval.estimate for interval in returns))
        cells = [*_ends(record, returns, digits, intervals), *[""] * 4, *_ends(record, scores, 2, intervals)]
        table.add_row("mean", *cells, style="bold", end_section=True)
    return table


def split_words(split: Split, tasks: str = "") -> str:
    """A split in a table: its kind, the word for its tasks, and its group if it is one."""
    kind, _, group = split.partition("/")
    return SPLIT_WORDS[kind] + tasks + (f": {group}" if group else "")


def return_digits(*returns: float | None) -> int:
    """Decimals that show returns of this size with three figures or so."""
    largest = max((abs(x) for x in returns if x is not None), default=0.0)
    return 2 if largest < 10 else 1 if largest < 1000 else 0


def format_known(number: float | None, digits: int) -> str:
    """Fixed-point, or a dash for what nobody measured."""
    return DASH if number is None else format_number(number, digits)


def format_duration(seconds: float) -> str:
    """In seconds, minutes or hours, whichever a reader would use; "unknown" where it is NaN."""
    if isnan(seconds):
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _task_cells(record: Record, name: str, memoryless: Record | None, intervals: bool) -> list[str]:
    reference, returns = record.reference(name), task_returns(record, name)
    recorded = None
    if memoryless and name in memoryless.tasks:
        recorded = float(memoryless.tasks[name].returns[:, :, memoryless.last_trial].mean())
    anchors = (reference.random, reference.do_nothing, recorded, reference.specialist)
    digits = return_digits(*(interval.estimate for interval in returns), *anchors)
    scores = _ends(record, task_scores(record, name), 2, intervals)
    return [*_ends(record, returns, digits, intervals), *(format_known(x, digits) for x in anchors), *scores]


def _ends(record: Record, trials: list[Interval] | None, digits: int, intervals: bool) -> list[str]:
    """The first trial and the last; dashes where there are none."""
    if not trials:
        return [DASH, DASH]
    first, last = trials[0], trials[record.last_trial]
    return [
        format_number(first.estimate, digits),
        last.format(digits) if intervals else format_number(last.estimate, digits),
    ]


def _caption(record: Record, intervals: bool) -> str:
    seeds, episodes = _count(len(record.seeds), "seed"), _count(record.num_episodes, "episode")
    brackets = "[95 % interval], " if intervals else ""
    score = "0 = better of random and do nothing, 1 = specialist"
    missing = "needs references: icrl references SPEC"
    scored, unscored, uncounted = (
        any(tasks(split) for split in record.splits) for tasks in (record.counted, record.unscored, record.uncounted)
    )
    return (
        f"first, last: trials 1 and {record.last_trial + 1} of an episode; "
        f"{brackets}{seeds}, {episodes} per task\n"
        f"score: {score if scored else missing}"
        + (f"\n{DASH} not in the mean score: no reference" if scored and unscored else "")
        + ("\n* not in the mean score: the memoryless agent comes near the specialist" if uncounted else "")
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
