"""What is shown after an evaluation: its table, and the paths of its figures."""

import logging
from pathlib import Path

from icrl.errors import UserError
from icrl.records import RESULTS, Record
from icrl.report.comparison import Comparison, load_records, memoryless_of
from icrl.report.illustrations import illustrate
from icrl.report.tables import print_evaluation

logger = logging.getLogger(__name__)


def show_evaluation(record: Record, folder: Path) -> None:
    """Prints the table of a record, beside the recorded memoryless agent; draws its figures and prints their paths."""
    comparison = Comparison.of(record, memoryless_of(record, _recorded(record.experiment)))
    print_evaluation(*comparison.headline)
    for path in illustrate(comparison, folder):
        print(path)


def _recorded(experiment: str) -> list[Record]:
    """The records of an experiment to stand beside; none where one is damaged, which is said."""
    try:
        return load_records(RESULTS, experiment)
    except UserError as error:
        logger.warning("no recorded agent is shown beside: %s", error)
        return []
