"""What is shown after an evaluation: its table, its figures, and the numbers that trackers compare runs by."""

import logging
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from icrl.errors import UserError
from icrl.records import RESULTS, Record
from icrl.report.comparison import Comparison, load_records, memoryless_of
from icrl.report.illustrations import illustrate
from icrl.report.tables import print_evaluation

logger = logging.getLogger(__name__)


def show_evaluation(record: Record, folder: Path) -> dict[str, Path]:
    """Prints the table of a record, beside the recorded memoryless agent; draws its figures and prints their paths.

    Gives the figures by name.
    """
    comparison = Comparison.of(record, memoryless_of(record, _recorded(record.experiment)))
    print_evaluation(*comparison.headline)
    paths = list(illustrate(comparison, folder))
    for path in paths:
        print(path)
    return {path.stem.removeprefix(f"{comparison.name}-"): path for path in paths}


def of_one_seed(record: Record, index: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """What trackers show of seed number ``index`` (docs/metrics.md, W&B), means over episodes.

    Gives the numbers by which runs are compared, the mean return and score of every split's first and last trial; and
    a row for every trial of every task, whose score is None without a reference.
    """
    rows = []
    for name, task in record.tasks.items():
        returns, score = task.returns[index].mean(axis=0), record.score(name)
        scores = [None] * record.trials if score is None else score[index].mean(axis=0).tolist()
        rows += [
            {"split": task.split, "task": name, "trial": trial, "return": returned, "score": scored}
            for trial, (returned, scored) in enumerate(zip(returns.tolist(), scores, strict=True), start=1)
        ]
    summary = {}
    for measure, split in product(("return", "score"), record.splits):
        for name, trial in (("first_trial", 1), ("last_trial", record.last_trial + 1)):
            of_tasks = [row[measure] for row in rows if (row["split"], row["trial"]) == (split, trial)]
            if known := [value for value in of_tasks if value is not None]:
                summary[f"evaluation/{measure}/{split}/{name}"] = fmean(known)
    return summary, rows


def _recorded(experiment: str) -> list[Record]:
    """The records of an experiment to stand beside; none where one is damaged, which is said."""
    try:
        return load_records(RESULTS, experiment)
    except UserError as error:
        logger.warning("no recorded agent is shown beside: %s", error)
        return []
