"""docs/tour.ipynb, run from the first cell to the last: `python -m tests.tour` keeps the outputs in it."""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
TOUR = ROOT / "docs" / "tour.ipynb"


def executed(folder: Path, changes: Mapping[str, str] | None = None, **environment: str) -> nbformat.NotebookNode:
    """The notebook with the outputs of a run in a folder. Raises CellExecutionError if a cell fails.

    Args:
        folder: where it runs.
        changes: of its source, old to new.
        environment: variables of its kernel.
    """
    notebook = nbformat.read(TOUR, as_version=4)
    for cell in notebook.cells:
        for old, new in (changes or {}).items():
            cell.source = cell.source.replace(old, new)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute(env=os.environ | {"PATH": path} | environment)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        done = executed(Path(folder))
    for cell in done.cells:
        cell.metadata = {}
    done.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(done, TOUR)
