"""What the sections of `icrl benchmark` share: which models, how a record is written, how an interval is shown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from icrl.errors import Problem, SpecError, did_you_mean, show
from icrl.launch.machine import cores
from icrl.runs.disk import require_folder, to_json, write_atomically
from icrl.runs.provenance import made_with
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import ExperimentFile
from icrl.spec.parse import to_dict

DEFAULT_SPEC = "benchmark"
BENCHMARKS_FOLDER = Path("results", "benchmark")
TABLE_WIDTH = 160


def load_models(spec: str, names: Sequence[str] | None, scale: str | None = None) -> dict[str, ExperimentSpec]:
    """The experiment with each of its models, or with each of those named.

    Raises:
        SpecError: a name is none of the spec's.
    """
    file = ExperimentFile(spec, scale)
    known = file.models
    for name in names or ():
        if name not in known:
            raise SpecError([Problem("--models", show(name), f"of {', '.join(known)}", did_you_mean(name, known))])
    return {name: file.experiment(name) for name in names or known}


def record_folder(experiment: str, out: Path | None) -> Path:
    """Where records of an experiment go, made if it is not there; only the default's go to the folder of all.

    Raises:
        UserError, MachineError: it cannot be, or cannot be written.
    """
    return require_folder(out or BENCHMARKS_FOLDER / ("" if experiment == DEFAULT_SPEC else experiment))


def write_record(folder: Path, name: str, content: Mapping[str, Any]) -> Path:
    """Writes what was measured, and with what, to ``<name>.json`` in a folder; gives its path."""
    made = made_with()
    machine = {**to_dict(made["machine"]), "cores_allowed": cores()}
    record = {"schema": 2, **made, "machine": machine}
    path = folder / f"{name}.json"
    write_atomically(path, json.dumps(to_json({**record, **content}), indent=1) + "\n")
    return path


def show_tables(tables: Iterable[Table]) -> None:
    """Prints tables to stdout; where that is no terminal, at their full width."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    for table in tables:
        console.print(table)
