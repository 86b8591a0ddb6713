"""Experiments that train every model at every point of a grid: from records to figure and table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icrl.commands.report import report
from icrl.errors import UserError
from icrl.records import Record
from icrl.report import figures
from icrl.report.comparison import load_comparisons, memoryless_of
from icrl.report.grid import Grid, load_grids
from icrl.spec.parse import parse

Data = dict[str, Any]


def write(results: Path, name: str, data: Data) -> Path:
    folder = results / "records" / "recall" / "cpu"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(data))
    return folder / f"{name}.json"


@pytest.fixture
def grid_results(tmp_path: Path, make_data: Callable[..., Data]) -> Path:
    """S5 at the points 4, 16 and 128, and an LSTM that was trained at two of them before memory was counted."""
    for model, point, shift in (
        ("s5", 128, 0.0),
        ("s5", 4, 0.5),
        ("s5", 16, 0.25),
        ("lstm", 4, 0.5),
        ("lstm", 16, -0.5),
    ):
        data = make_data(model, shift=shift, references=False)
        del data["tasks"]["reacher"]
        data |= {"experiment": "recall", "scale": "cpu", "point": str(point), "train_seconds": 10.0 * point}
        data["train_other_cores"] = 0.02
        if model == "s5":
            data["train_memory_bytes"] = point * 2**20
        write(tmp_path / "results", f"{model}-{point}", data)
    return tmp_path / "results"


@pytest.fixture
def grid(grid_results: Path) -> Grid:
    [grid] = load_grids(grid_results)
    return grid


def test_points_of_another_regime_make_a_grid_of_their_own(grid_results: Path, make_data: Callable[..., Data]):
    for point in ("16-truncated", "4-truncated"):
        data = make_data("s5", references=False) | {"experiment": "recall", "scale": "cpu", "point": point}
        del data["tasks"]["reacher"]
        write(grid_results, f"s5-{point}", data)
    full, truncated = load_grids(grid_results)
    assert (full.name, full.points) == ("recall-cpu", ("4", "16", "128"))
    assert (truncated.name, truncated.points, truncated.is_numeric) == ("recall-cpu-truncated", ("4", "16"), True)
    assert [truncated.place_of(record) for record in truncated.records] == [4.0, 16.0]
    report(grid_results)
    readme = (grid_results / "README.md").read_text()
    assert "## recall, cpu scale, truncated\n" in readme
    assert (grid_results / "figures" / "recall-cpu-truncated-grid.png").exists()


def test_a_grid_is_ordered_by_point_then_model(grid: Grid):
    assert (grid.name, grid.points, grid.models) == ("recall-cpu", ("4", "16", "128"), ("s5", "lstm"))
    assert [(record.point, record.model) for record in grid.records] == [
        ("4", "s5"),
        ("4", "lstm"),
        ("16", "s5"),
        ("16", "lstm"),
        ("128", "s5"),
    ]


def test_panels_show_return_time_and_memory_by_point(grid: Grid):
    figure = figures.grid_panels(grid)
    lines = {
        (place, line.get_label()): np.array([line.get_xdata(), line.get_ydata()], float)
        for place, axes in enumerate(figure.axes)
        for line in axes.get_lines()
    }
    # The last trial is worth 25 and 20 for every unit of shift; two seeds took 10 s and 1 MiB a unit of length.
    for place, values in enumerate([[35, 30, 25], [20, 80, 640], [2, 8, 64]]):
        np.testing.assert_allclose(lines[place, "S5"], [[4, 16, 128], values])
    np.testing.assert_allclose(lines[0, "LSTM"], [[4, 16], [35, 15]])
    assert (2, "LSTM") not in lines
    assert all(axes.get_xscale() == "log" for axes in figure.axes)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["4", "16", "128"]


@pytest.mark.parametrize(
    ("change", "joined"),
    [
        ({}, [[4, 16, 128]]),
        ({"train_other_cores": 0.5}, [[4, 128], [16]]),  # busy
        ({"train_other_cores": None}, [[4, 128], [16]]),  # not known to be idle
        ({"machine": {"cores": 64}}, [[4, 128], [16]]),
        ({"seeds": [0]}, [[4, 128], [16]]),
    ],
)
def test_a_line_joins_only_costs_of_one_machine_with_nothing_else_to_do(
    grid_results: Path, change: Data, joined: list[list[int]]
):
    path = grid_results / "records" / "recall" / "cpu" / "s5-16.json"
    data = json.loads(path.read_text()) | change
    for task in data["tasks"].values():
        task |= {name: task[name][: len(data["seeds"])] for name in ("returns", "reward_by_step")}
    path.write_text(json.dumps(data))
    [grid] = load_grids(grid_results)
    whole, *costs = figures.grid_panels(grid).axes
    colour = whole.get_lines()[0].get_color()
    for axes in costs:
        lines = [line for line in axes.get_lines() if line.get_color() == colour]
        assert [np.asarray(line.get_xdata()).tolist() for line in lines] == joined
        hollow = [line.get_markerfacecolor() == "white" for line in lines]
        assert hollow == [False, "train_other_cores" in change][: len(lines)]


def test_the_report_gives_a_grid_a_section_beside_the_comparisons(
    grid_results: Path, results: Path, capsys: pytest.CaptureFixture[str]
):
    assert [comparison.name for comparison in load_comparisons(grid_results)] == ["probe-smoke"]
    report(grid_results)
    readme = (grid_results / "README.md").read_text()
    assert "![recall-cpu-grid](figures/recall-cpu-grid.png)" in readme
    assert (grid_results / "figures" / "recall-cpu-grid.png").is_file()
    assert str(grid_results / "figures" / "recall-cpu-grid.png") in capsys.readouterr().out
    [row] = [line for line in readme.splitlines() if line.startswith("| 16 |")]
    assert row.startswith("| 16 | 30.00 [")
    assert "| 80 | 8.0 | 15.00 [" in row
    [longest] = [line for line in readme.splitlines() if line.startswith("| 128 |")]
    assert longest.endswith("| – | – | – |")
    assert "| LSTM at 4 | sign | 2 |" in readme


def test_a_folder_may_hold_a_grid_alone(grid_results: Path):
    report(grid_results)
    assert "## recall, cpu scale" in (grid_results / "README.md").read_text()


def test_a_second_record_of_a_model_at_a_point_is_refused(grid_results: Path):
    first = grid_results / "records" / "recall" / "cpu" / "s5-4.json"
    second = write(grid_results, "s5-again", json.loads(first.read_text()))
    with pytest.raises(UserError) as refusal:
        load_grids(grid_results)
    assert str(refusal.value) == (
        f"{second}: got a second record of s5 at point 4; expected {first} alone; delete one of them"
    )


def test_points_may_be_names_which_stand_side_by_side(tmp_path: Path, make_data: Callable[..., Data]):
    results = tmp_path / "results"
    for point, shift in (("pendulum", 0.0), ("cartpole", 0.5)):
        data = make_data(shift=shift) | {"experiment": "recall", "scale": "cpu", "point": point}
        write(results, f"s5-{point}", data)
    [grid] = load_grids(results)
    axes = figures.grid_panels(grid).axes[0]
    assert (grid.points, axes.get_xscale()) == (("cartpole", "pendulum"), "linear")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cartpole", "pendulum"]
    [line] = axes.get_lines()
    np.testing.assert_allclose(line.get_xydata(), [[0, 35], [1, 25]])


def test_the_memoryless_agent_of_another_point_is_no_measure(make_data: Callable[..., Data]):
    here = parse(Record, make_data() | {"point": "4"})
    there, beside = (parse(Record, make_data("mlp") | {"point": point}) for point in ("16", "4"))
    assert memoryless_of(here, [there]) is None
    assert memoryless_of(here, [there, beside]) is not None
