import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icrl.commands.report import report
from icrl.errors import UserError
from icrl.report import intervals
from icrl.report.statistics import Interval, bootstrap

RECORDED = Path(__file__).parents[2] / "results" / "benchmark"


def section(readme: str, heading: str) -> str:
    return readme.split(f"### {heading}\n")[1].split("###")[0]


def test_the_readme_holds_the_numbers_of_the_records(results: Path):
    report(results)
    readme = (results / "README.md").read_text()
    train = section(readme, "Training tasks, unseen projections")
    s5, mlp = (next(line for line in train.splitlines() if name in line) for name in ("S5", "MLP"))
    assert re.findall(r"(-?[\d.]+) \[", s5) == ["0.25", "0.75", "0.50", "0.75"]  # first, last, gain, IQM
    assert re.findall(r"(-?[\d.]+) \[", mlp) == ["0.25", "0.25", "0.00", "0.25"]
    assert s5.endswith("| yes |")
    assert mlp.endswith("| – |")
    assert "| S5 | 0.50 [0.50, 0.50] | 1.00 [1.00, 1.00] |" in section(readme, "Held-out tasks")
    ladder = section(readme, "Ladder of projections")
    assert re.findall(r"^\| (\w+) \| (\S+)", ladder, re.MULTILINE)[1:] == [
        ("sign", "S5"),
        ("sign", "MLP"),
        ("gaussian", "S5"),
    ]
    tasks = section(readme, "Return per trial, first → last")
    assert "| pendulum | training | 10.0 | 4.0 | 30.0 | 15.0 → 25.0 [" in tasks
    assert "| reacher | held out | -60.0 | -40.0 | 0.0 | -20.0 → 0.0 [0.0, 0.0] |" in tasks


def test_the_readme_names_tasks_that_ask_for_no_adaptation(results: Path):
    for path in results.glob("records/probe/smoke/*.json"):
        data = json.loads(path.read_text())
        data["tasks"]["easy"] = data["tasks"]["reacher"] | {"returns": [[[-40.0, 0.0]] * 2] * 2}
        path.write_text(json.dumps(data))
    path = results / "references" / "probe.json"
    data = json.loads(path.read_text())
    data["references"]["easy"] = data["references"]["reacher"]
    path.write_text(json.dumps(data))
    report(results)
    readme = (results / "README.md").read_text()
    assert "Without `easy`: the memoryless agent" in section(readme, "Held-out tasks")
    assert "| S5 | 0.50 [0.50, 0.50] | 1.00 [1.00, 1.00] |" in section(readme, "Held-out tasks")
    assert "Without" not in section(readme, "Training tasks, unseen projections")


def test_the_readme_says_how_each_number_was_made(results: Path):
    report(results)
    made = section((results / "README.md").read_text(), "How it was made")
    costs = "| 2 | 4,096 | 1,234 | 60 | 5,432 | – | 2 | 1.2 | 012345678 |"
    assert f"| MLP (memoryless) | sign {costs} `icrl evaluate probe --model mlp` |" in made
    assert f"| S5 | gaussian {costs} `icrl evaluate probe --model s5` |" in made
    assert "References: `icrl references probe`." in made
    assert "Machine: cores 2, devices cpu." in made


def test_every_figure_is_drawn_shown_and_printed(results: Path, capsys: pytest.CaptureFixture[str]):
    report(results)
    readme = results / "README.md"
    shown = [results / link for link in re.findall(r"!\[.*?\]\((.*?)\)", readme.read_text())]
    names = ("adaptation", "ladder", "bars", "reward-by-step", "learning")
    assert sorted(shown) == sorted(results / "figures" / f"probe-smoke-{name}.png" for name in names)
    assert sorted((results / "figures").iterdir()) == sorted(shown)
    assert sorted(capsys.readouterr().out.split()) == sorted(map(str, [readme, results / "index.html", *shown]))


def test_another_folder_takes_what_is_written(results: Path, tmp_path: Path):
    before = sorted(results.rglob("*"))
    report(results, out=tmp_path / "there")
    assert sorted(results.rglob("*")) == before
    links = re.findall(r"!\[.*?\]\((.*?)\)", (tmp_path / "there" / "README.md").read_text())
    assert links
    assert all((tmp_path / "there" / link).is_file() for link in links)


def test_the_default_folder_is_results(results: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(results.parent)
    report(None)
    assert (results / "README.md").is_file()


def test_the_same_records_give_the_same_readme(results: Path):
    report(results)
    first = (results / "README.md").read_text()
    report(results)
    assert (results / "README.md").read_text() == first


def test_a_record_of_files_that_no_commit_holds_says_so(results: Path):
    path = results / "records" / "probe" / "smoke" / "s5.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"git_commit": "0123456789abcdef-dirty"}))
    report(results)
    assert "| 012345678-dirty |" in section((results / "README.md").read_text(), "How it was made")


def test_without_references_returns_are_compared(results: Path):
    (results / "references" / "probe.json").unlink()
    report(results)
    readme = (results / "README.md").read_text()
    assert "| model | return, first trial | return, last trial |" in readme
    assert "| S5 | 15.00 [" in section(readme, "Training tasks, unseen projections")


def test_a_task_without_a_reference_is_left_out_of_the_mean_score_and_named(results: Path):
    for path in results.glob("records/probe/smoke/*.json"):
        data = json.loads(path.read_text())
        data["tasks"]["twin"] = data["tasks"]["pendulum"] | {"returns": [[[0.0, 100.0]] * 2] * 2}
        path.write_text(json.dumps(data))
    report(results)
    train = section((results / "README.md").read_text(), "Training tasks, unseen projections")
    assert "| S5 | 0.25 [" in train
    assert "Without `twin`: there is no reference, hence no score." in train


def test_every_interval_is_bootstrapped_once(results: Path, monkeypatch: pytest.MonkeyPatch):
    asked = Counter[tuple[object, ...]]()

    def counted(scores: Sequence[np.ndarray], **options: Any) -> list[Interval]:
        asked[(*(task.tobytes() for task in scores), *options.values())] += 1
        return bootstrap(scores, **options)

    monkeypatch.setattr(intervals, "bootstrap", counted)
    for number, path in enumerate(sorted(results.glob("records/probe/smoke/*.json"))):
        data = json.loads(path.read_text())
        for name, task in data["tasks"].items():  # no two quantities have the same numbers
            task["returns"] = np.random.default_rng([number, len(name)]).normal(size=(2, 2, 2)).tolist()
        twin = np.random.default_rng([number, 0]).normal(size=(2, 2, 2)).tolist()  # of a split with two tasks
        data["tasks"]["twin"] = data["tasks"]["pendulum"] | {"returns": twin}
        path.write_text(json.dumps(data))
    report(results)
    assert asked
    assert set(asked.values()) == {1}


def test_a_malformed_record_leaves_everything_unwritten(results: Path):
    path = results / "records" / "probe" / "smoke" / "mlp.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seeds": "0, 1"}))
    with pytest.raises(UserError) as error:
        report(results)
    assert str(error.value) == f"{path}: seeds: got '0, 1'; expected a list; write it in brackets: [a, b]"
    assert not (results / "README.md").exists()
    assert not (results / "figures").exists()


def test_the_benchmarks_that_were_recorded_have_sections_of_their_own(results: Path):
    for folder in ("benchmark", "benchmark/another"):
        shutil.copytree(RECORDED, results / folder, ignore=shutil.ignore_patterns("meta_*"))
    report(results)
    readme = (results / "README.md").read_text()
    for title, name in (
        ("Time and memory by sequence length", "benchmark"),
        ("Time and memory by sequence length, another", "benchmark"),
        ("S5's scan", "scan"),
        ("Throughput of training", "throughput"),
        ("Throughput of training, another", "throughput"),
    ):
        record = json.loads((RECORDED / f"{name}.json").read_text())
        text = readme.split(f"## {title}\n")[1].split("\n## ")[0]
        assert f"Made at {record['git_commit'][:9]} by `{record['command']}`." in text
        assert "On an accelerator: unmeasured." in text
    scan = json.loads((RECORDED / "scan.json").read_text())["layers"][0]
    ratio = "{median:.2f} [{low:.2f}, {high:.2f}]".format(**scan["plain_to_auto"])
    assert f"|  | plain / auto | {ratio} |" in readme
    for figure in ("benchmark/benchmark.png", "benchmark/another/benchmark.png"):
        assert f"]({figure})" in readme
        assert (results / figure).stat().st_size > 0


def test_what_an_accelerator_did_is_not_called_unmeasured(results: Path):
    shutil.copytree(RECORDED, results / "benchmark")
    path = results / "benchmark" / "scan.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"machine": record["machine"] | {"devices": ["NVIDIA H200"]}}))
    report(results)
    _, _, text = (results / "README.md").read_text().partition("## S5's scan\n")
    assert "devices NVIDIA H200" in text
    assert "unmeasured" not in text.split("\n## ")[0]


def test_a_malformed_benchmark_leaves_everything_unwritten(results: Path):
    (results / "benchmark").mkdir()
    (results / "benchmark" / "scan.json").write_text("{}")
    before = sorted(results.rglob("*"))
    with pytest.raises(UserError, match=r"scan.json: is not a record of `icrl benchmark`"):
        report(results)
    assert sorted(results.rglob("*")) == before
