from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from icrl.records import Record
from icrl.report.figures import adaptation_curves
from icrl.report.readme import task_table
from icrl.report.tables import evaluation_table, print_evaluation, return_digits
from icrl.spec.parse import parse

Data = dict[str, Any]


def rows(table: Table) -> dict[str, list[str]]:
    """Cells by first cell."""
    columns = [list(column.cells) for column in table.columns]
    return {str(name): [str(cell) for cell in cells] for name, *cells in zip(*columns, strict=True)}


def test_a_row_holds_the_ends_of_an_episode_beside_all_references(make_data: Callable[..., Data]):
    record, memoryless = parse(Record, make_data()), parse(Record, make_data("mlp", shift=-0.5))
    cells = rows(evaluation_table(record, memoryless))["pendulum"]
    first, last, random, do_nothing, recorded, specialist, first_score, last_score = cells
    assert (first, random, do_nothing, recorded, specialist) == ("15.0", "10.0", "4.0", "15.0", "30.0")
    assert last.startswith("25.0 [")
    assert first_score == "0.25"
    assert last_score.startswith("0.75 [")


def test_each_split_ends_with_its_mean_score(make_data: Callable[..., Data]):
    data = make_data()
    data["tasks"]["twin"] = data["tasks"]["reacher"] | {"split": "train"}
    data["references"]["twin"] = data["references"]["reacher"]
    table = evaluation_table(parse(Record, data), intervals=False)
    names = list(table.columns[0].cells)
    assert names == ["training tasks", "pendulum", "twin", "mean", "held out tasks", "reacher", "mean"]
    first, last = (list(table.columns[i].cells) for i in (7, 8))
    assert (first[3], last[3]) == ("0.38", "0.88")  # means of 0.25 and 0.50, of 0.75 and 1.00
    assert (first[6], last[6]) == ("0.50", "1.00")


def test_a_group_of_the_tasks_held_out_has_rows_and_a_mean_of_its_own(make_data: Callable[..., Data]):
    data = make_data()
    data["tasks"]["far"] = data["tasks"]["pendulum"] | {"split": "held_out/far"}
    data["tasks"]["near"] = data["tasks"]["pendulum"] | {"split": "held_out/near"}
    record = parse(Record, data)
    assert record.splits == ("train", "held_out", "held_out/far", "held_out/near")
    assert record.split_title("held_out/far") == "Held-out tasks: far"
    names = list(evaluation_table(record).columns[0].cells)
    assert names[6:] == ["held out tasks: far", "far", "mean", "held out tasks: near", "near", "mean"]
    assert [panel.get_title(loc="left") for panel in adaptation_curves([record]).axes[2:]] == [
        "Held-out tasks: far (mean of 1)",
        "Held-out tasks: near (mean of 1)",
    ]
    readme = task_table([record])
    assert "| far | held out: far |" in readme


def test_a_task_apart_is_marked_and_counts_in_no_mean(make_data: Callable[..., Data]):
    data = make_data()
    data["tasks"]["easy"] = data["tasks"]["reacher"] | {"returns": [[[-40.0, 0.0]] * 2] * 2}
    data["references"]["easy"] = data["references"]["reacher"]
    table = evaluation_table(replace(parse(Record, data), apart=frozenset({"easy"})), intervals=False)
    cells = rows(table)
    assert "easy" not in cells
    assert cells["easy*"][-2:] == ["0.00", "1.00"]
    assert [list(table.columns[7].cells)[i] for i in (2, 6)] == ["0.25", "0.50"]  # of the pendulum, of the reacher
    assert str(table.caption).endswith("\n* not in the mean score: the memoryless agent comes near the specialist")


def test_where_every_task_of_a_split_is_apart_none_is_marked(make_data: Callable[..., Data]):
    table = evaluation_table(replace(parse(Record, make_data()), apart=frozenset({"pendulum", "reacher"})))
    assert "*" not in "".join(rows(table)) + str(table.caption)


def test_what_nobody_measured_is_a_dash(make_data: Callable[..., Data]):
    table = evaluation_table(parse(Record, make_data(references=False)), intervals=False)
    assert rows(table)["pendulum"] == ["15.0", "25.0", "9.0", "5.0", "–", "–", "–", "–"]
    assert "needs references" in str(table.caption)


def test_a_task_without_a_reference_leaves_the_mean_score_to_the_others(make_data: Callable[..., Data]):
    data = make_data()
    data["tasks"]["twin"] = data["tasks"]["pendulum"] | {"returns": [[[0.0, 5.0]] * 2] * 2}
    table = evaluation_table(parse(Record, data), intervals=False)
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    mean = [column[3] for column in cells]  # of the training tasks; the reacher's comes later
    assert mean == ["mean", "7.5", "15.0", "", "", "", "", "0.25", "0.75"]
    assert rows(table)["twin"][-2:] == ["–", "–"]
    assert str(table.caption).endswith("\n– not in the mean score: no reference")


def test_the_caption_says_what_the_brackets_are_over(make_data: Callable[..., Data]):
    lines = str(evaluation_table(parse(Record, make_data())).caption).splitlines()
    assert lines == [
        "first, last: trials 1 and 2 of an episode; [95 % interval], 2 seeds, 2 episodes per task",
        "score: 0 = better of random and do nothing, 1 = specialist",
    ]


def test_without_a_terminal_no_line_is_broken(make_data: Callable[..., Data], capsys: pytest.CaptureFixture[str]):
    print_evaluation(parse(Record, make_data()))
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("pendulum")]
    assert line.split()[:3] == ["pendulum", "15.0", "25.0"]
    assert line.count("[") == 2


@pytest.mark.parametrize(("width", "brackets"), [(70, 0), (110, 2)])
def test_a_narrow_terminal_gets_the_table_without_intervals(
    make_data: Callable[..., Data], monkeypatch: pytest.MonkeyPatch, width: int, brackets: int
):
    console = Console(width=width, force_terminal=True, no_color=True, record=True)
    monkeypatch.setattr("icrl.report.tables.Console", lambda **_: console)
    print_evaluation(parse(Record, make_data()))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    [row] = [line for line in lines if line.strip().startswith("pendulum")]
    assert row.count("[") == brackets


@pytest.mark.parametrize(("returns", "digits"), [((0.5, -9.9), 2), ((3.0, -97.0), 1), ((None, 1500.0), 0)])
def test_returns_have_decimals_after_their_size(returns: tuple[float | None, ...], digits: int):
    assert return_digits(*returns) == digits
