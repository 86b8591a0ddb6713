"""Numbers in the README, in the headers of specs and in results/README.md are those of the records.

A number is looked up among what was measured of the model named before it in its clause, of any model where none is:
with its interval among all that documents say, alone among the means that tables show.
"""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from icrl.records import Record
from icrl.report.comparison import load_comparisons
from icrl.report.grid import load_grids
from icrl.report.intervals import gain, means, task_returns
from icrl.report.paper import PAPER
from icrl.report.readme import write_readme
from icrl.report.statistics import Interval, bootstrap, format_number
from icrl.spec.shipped import shipped_specs

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
HEADERS = {name: path.read_text() for name, path in shipped_specs().items() if name != "benchmark"}
README = (ROOT / "README.md").read_text()
MODELS = {
    "S5 without reset": "s5_no_reset",
    "S5 and DeltaNet": "s5_deltanet",
    "S5": "s5",
    "GRU": "gru",
    "LSTM": "lstm",
    "DeltaNet": "deltanet",
    "ransformer": "transformer",
    "MLP": "mlp",
    "memoryless": "mlp",
}
NUMBER = r"-?\d{1,3}\.\d{1,2}"
INTERVAL = rf"{NUMBER} \[{NUMBER}, {NUMBER}\]"
CLAIM = re.compile(
    rf"(paper|{'|'.join(MODELS)})|({INTERVAL}|(?<![\w.,-]){NUMBER}(?![\w%]|\.\d| [Mks]\b| minutes| times))"
)

Claims = set[tuple[str, str]]
"""Models, "" for any, and numbers."""


def claims(text: str) -> Claims:
    """What a text says of which model; what follows the paper's name in a clause is the paper's."""
    found = set()
    for clause in re.split(r";|\.\s", text):
        model = ""
        for name, number in CLAIM.findall(clause):
            if name == "paper":
                break
            model = MODELS.get(name, model)
            if number:
                found.add((model, number))
    return found


@cache
def records(experiment: str) -> list[Record]:
    """Those of an experiment, with tasks apart as the tables have them."""
    found = [record for comparison in load_comparisons(RESULTS) for record in comparison.records]
    found += [record for grid in load_grids(RESULTS) for record in grid.records]
    return [record for record in found if record.experiment == experiment]


@cache
def shown(record: Record) -> list[Interval]:
    """Means over tasks, what the paper measured too, and what doing nothing earns."""
    found = [interval for split in record.splits for interval in (*means(record, split), gain(record, split))]
    if published := PAPER.get(record.experiment):
        found += filter(None, (published.ours(record, what) for what in published.values))
    for split in record.splits:
        earned = [task.do_nothing for task in record.split(split).values()]
        found.append(Interval(*[sum(earned) / len(earned)] * 3))
    return found


@cache
def details(record: Record) -> list[Interval]:
    """Of single tasks and seeds, and the gain without a task."""
    found = [interval for name in record.tasks for interval in task_returns(record, name)]
    for split in record.splits:
        apart = [record.apart | {name} for name in record.counted(split)[:20]]
        found += [gain(replace(record, apart=tasks), split) for tasks in apart if len(apart) > 1]
        measured = record.scores(split) or record.returns(split)
        for seed in range(len(record.seeds)):
            found += bootstrap([task[[seed]] for task in measured])
    return found


def unrecorded(said: Claims, experiments: tuple[str, ...]) -> Claims:
    """The claims that no record of some experiments holds."""
    of_them = [record for experiment in experiments for record in records(experiment)]
    for look_up, with_interval in ((shown, False), (shown, True), (details, True)):
        for record in of_them:
            if not any(("[" in number) == with_interval for _, number in said):
                break
            for interval in look_up(record):
                for digits in (1, 2):
                    number = interval.format(digits) if with_interval else format_number(interval.estimate, digits)
                    said = said - {("", number), (record.model, number)}
    return said


def test_claims_are_found():
    text = """S5's 0.45 in the first trial, 0.60 [0.57, 0.62] in the last; LSTM -0.08, S5 without reset 1.00, the
        paper's S5 0.91. In 2.5 minutes, 0.1 (see arXiv 2303.03982)."""
    assert claims(text) == {
        ("s5", "0.45"),
        ("s5", "0.60 [0.57, 0.62]"),
        ("lstm", "-0.08"),
        ("s5_no_reset", "1.00"),
        ("", "0.1"),
    }


def expected(header: str) -> str:
    """What a spec's header says is to be expected."""
    lines = [line.removeprefix("#") for line in header.splitlines() if line.startswith("#")]
    return re.split(r"\n [A-Z][a-z ]+:", "\n".join(lines).partition("\n Expected")[2])[0]


@pytest.mark.parametrize("name", HEADERS)
def test_what_a_header_expects_is_recorded(name: str):
    said = claims(expected(HEADERS[name]))
    assert said or "not measured" in expected(HEADERS[name])
    assert unrecorded(said, (name,)) == set()


def test_what_the_readme_says_is_recorded():
    """Its table is tested in `tests/test_readme.py`."""
    results = README.partition("## Results")[2].partition("\n| ")[0]
    said = claims(results)
    assert ("s5", "0.60 [0.57, 0.62]") in said
    assert unrecorded(said, ("meta_brax",)) == set()
    assert unrecorded({("", number) for number in re.findall(INTERVAL, README)}, tuple(HEADERS)) == set()


def test_the_results_are_those_of_the_records(tmp_path: Path):
    """But for figures, their captions, and benchmarks."""
    made = write_readme(load_comparisons(RESULTS), {}, tmp_path / "README.md", load_grids(RESULTS)).read_text()
    committed = set((RESULTS / "README.md").read_text().splitlines())
    assert [line for line in made.splitlines() if line not in committed] == []
