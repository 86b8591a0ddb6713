"""The notebook runs from its first cell to its last, and has the outputs that it is read by."""

from pathlib import Path

import nbformat
import pytest

from tests.tour import TOUR, executed


@pytest.fixture(scope="module")
def code_cells() -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(TOUR, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_runs(tmp_path: Path):
    fewer = {"6e5": "2e4", "episodes=32": "episodes=4"}
    cells = executed(tmp_path, fewer, JAX_DISABLE_MOST_OPTIMIZATIONS="1").cells
    shown = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert len([output for output in shown if "image/png" in output.get("data", {})]) == 2
    assert (tmp_path / "run" / "evaluation.json").exists()


def test_its_outputs_are_kept_and_say_nothing_of_a_machine(code_cells: list[nbformat.NotebookNode]):
    assert [cell.execution_count for cell in code_cells] == list(range(1, len(code_cells) + 1))
    text = "".join(output.get("text", "") for cell in code_cells for output in cell.outputs)
    assert "mean return by trial: [" in text
    assert [word for word in ("/work", "/tmp", "/home", "Warning", "\x1b") if word in text] == []
    assert TOUR.stat().st_size < 200_000


def test_its_first_cell_installs(code_cells: list[nbformat.NotebookNode]):
    assert "%pip install" in code_cells[0].source
