"""`icrl compare`: runs side by side, finished or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from icrl.errors import UserError, join_path
from icrl.records import RESULTS, load_record
from icrl.report.side_by_side import Contender, names_of, write_side_by_side
from icrl.runs.directory import EVALUATION, RunDirectory
from icrl.runs.disk import require_folder
from icrl.spec.shipped import existing_path, shipped_agents


def compare(runs: Sequence[str], *, out: Path | None = None) -> None:
    """Writes learning curves, adaptation and tables of some runs; prints the tables and the paths.

    Raises:
        UserError: one is no run, is named twice, or is damaged.
    """
    directories = [RunDirectory.read(_folder_of(run)) for run in runs]
    folders = [directory.path for directory in directories]
    for index, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:index]]:
            raise UserError(f"{folder}: got twice; expected every run once")
    contenders = [
        Contender(
            name,
            directory.path,
            spec := directory.spec,
            directory.manifest,
            [line for line in directory.metrics() if isinstance(line.get("env_steps"), int)],
            load_record(file) if (file := directory.path / EVALUATION).exists() else None,
            dict(_fields(spec)),
        )
        for name, directory in zip(names_of(folders), directories, strict=True)
    ]
    tables, paths = write_side_by_side(contenders, require_folder(out or RESULTS / "compare"))
    print(tables, *paths, sep="\n")


def _folder_of(run: str) -> Path:
    """The folder that a word of the command line means. Raises UserError if there is none."""
    path = existing_path(run) or shipped_agents().get(run)
    if path is None:
        raise UserError(f"{run}: got nothing there; expected a run directory, made by `icrl train`")
    return path


def _fields(plain: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a plain spec by their paths."""
    if isinstance(plain, Mapping) and plain:
        for name, value in plain.items():
            yield from _fields(value, join_path(where, name))
    else:
        yield where, plain
