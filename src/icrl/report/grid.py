"""An experiment that trains each model anew at every point of a grid: every length of a memory task, or every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icrl.records import Record
from icrl.report.comparison import by_point, load_records, model_order, refuse_twins


@dataclass(frozen=True)
class Grid:
    """The records of one experiment at one scale and in one regime, by point and model."""

    experiment: str
    scale: str
    records: tuple[Record, ...]
    regime: str = ""
    """What points such as `64-truncated` have beside their number; they make a grid apart from `64-full`."""

    @property
    def name(self) -> str:
        """What its figure is named after."""
        return "-".join(filter(None, (self.experiment, self.scale, self.regime)))

    @property
    def models(self) -> tuple[str, ...]:
        """The models compared, in the order of every table and legend."""
        return tuple(sorted({record.model for record in self.records}, key=model_order))

    @property
    def points(self) -> tuple[str, ...]:
        """The points, numbers in ascending order, without the regime."""
        return tuple(dict.fromkeys(self.point_of(record) for record in self.records))

    @property
    def is_numeric(self) -> bool:
        """Whether its points are numbers, and not names."""
        return all(map(_is_number, self.points))

    def point_of(self, record: Record) -> str:
        """A record's point without the regime."""
        return split_point(record.point)[0]

    def place_of(self, record: Record) -> float:
        """Where on an axis a record lies: at its number, or near its name's, names and models side by side."""
        point, models = self.point_of(record), self.models
        if self.is_numeric:
            return float(point)
        return self.points.index(point) + 0.14 * (models.index(record.model) - (len(models) - 1) / 2)

    def of_model(self, model: str) -> tuple[Record, ...]:
        """The records of one model, by point."""
        return tuple(record for record in self.records if record.model == model)


def load_grids(results: Path) -> list[Grid]:
    """The grids of a results folder by experiment, scale and regime; [] if every point stands beside a ladder.

    Raises UserError if a record is malformed, or two are of one model at one point.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in by_point(load_records(results))[1]:
        groups.setdefault((record.experiment, record.scale, split_point(record.point)[1]), []).append(record)
    return [
        Grid(experiment, scale, _in_order(records), regime)
        for (experiment, scale, regime), records in sorted(groups.items())
    ]


def seconds_per_seed(record: Record) -> float | None:
    """Wall clock of the training of all seeds over their number."""
    return None if record.train_seconds is None else record.train_seconds / len(record.seeds)


def mebibytes_per_seed(record: Record) -> float | None:
    """What the training of all seeds holds over their number."""
    return None if record.train_memory_bytes is None else record.train_memory_bytes / len(record.seeds) / 2**20


def conditions_of_cost(record: Record) -> tuple[Any, ...] | None:
    """What records have in common whose times and memory compare; None if the machine was busy, or nobody knows."""
    return (record.machine, len(record.seeds)) if record.trained_alone else None


def split_point(point: str) -> tuple[str, str]:
    """A point's number and its regime; a point that does not begin with a number is whole and has none."""
    number, _, regime = point.partition("-")
    return (number, regime) if _is_number(number) else (point, "")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _in_order(records: Sequence[Record]) -> tuple[Record, ...]:
    refuse_twins(records, lambda record: record.point, lambda point: f"at point {point}")
    return tuple(sorted(records, key=_order))


def _order(record: Record) -> tuple[Any, ...]:
    point, _ = split_point(record.point)
    return not _is_number(point), int(point) if _is_number(point) else 0, point, model_order(record.model)
