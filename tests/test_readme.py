"""What the README and docs tell to run exists: commands parse, specs resolve, numbers are recorded."""

import ast
import fnmatch
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest

from icrl.records import Record, read_metrics
from icrl.report.comparison import Comparison, load_comparisons
from icrl.report.grid import load_grids
from icrl.report.intervals import last_return, mean_returns, means, task_returns
from icrl.report.mmer import max_mean_episodic_reward
from icrl.spec.experiment_file import ExperimentFile, load_experiment
from icrl.spec.shipped import shipped_agents, shipped_specs
from tests.cli_document import DOCUMENT, document
from tests.test_cli import Commands, run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
DOCUMENTS = [path.relative_to(ROOT) for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))]


def in_blocks(text: str) -> list[str]:
    """The commands in a document's blocks, without the variables set before them."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.replace("\\\n", "").splitlines()]
    return [re.sub(r"^([A-Z_]+=\S+ )+", "", line) for line in lines]


def in_text(text: str) -> list[str]:
    """What stands between backticks."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [span.replace(r"\|", "|") for span in spans]


def is_pattern(command: str) -> bool:
    """Whether it says how commands are formed, as in `icrl train SPEC [--seed N]`."""
    return bool(re.search(r"\[|(?<!@)\b[A-Z_]{3,}\b(?!=)", command))


def commands_of(program: str, *texts: str) -> list[str]:
    found = [command for text in texts for command in in_blocks(text) + in_text(text)]
    return list(dict.fromkeys(command for command in found if command.startswith(f"{program} ")))


EXAMPLES = [command for command in commands_of("icrl", README) if not is_pattern(command)]
IN_DOCS = sorted(
    {command for path in DOCUMENTS for command in in_blocks((ROOT / path).read_text()) if command.startswith("icrl ")}
    - set(EXAMPLES)
)
MAKE = [re.sub(r"[][]", "", command) for command in commands_of("make", README, CONTRIBUTING, DOCUMENT.read_text())]


def test_commands_are_found():
    assert {command.split()[1] for command in EXAMPLES} >= {"train", "evaluate", "render", "reproduce"}
    assert {command.split()[1] for command in IN_DOCS} >= {"train", "benchmark", "report"}
    assert {"make train", "make test", "make reproduce-all SCALE=cpu LAUNCHER=slurm"} <= set(MAKE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_command_on_what_exists(example: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    commands = Commands(monkeypatch)
    _, verb, *arguments = shlex.split(example)
    done = run(verb, *arguments)
    assert done.exit_code == 0, done.stderr
    (((target,), options),) = commands.calls
    if verb == "train":
        names = ("model", "scale", "point", "overrides", "seed", "num_seeds", "wandb")
        load_experiment(target, **{name: options[name] for name in names})
    elif verb in ("evaluate", "render") and target not in shipped_agents():
        load_experiment(target, model=options["model"], scale=options["scale"])


@pytest.mark.parametrize("example", IN_DOCS)
def test_a_command_of_the_docs_is_one(example: str, monkeypatch: pytest.MonkeyPatch):
    commands = Commands(monkeypatch)
    done = run(*shlex.split(example)[1:])
    assert (done.exit_code, len(commands.calls)) == (0, 1), done.stderr


def test_the_document_of_the_commands_is_current():
    assert DOCUMENT.read_text() == document(), "run: python -m tests.cli_document"


@pytest.mark.parametrize("command", MAKE)
def test_a_make_target_is_one(command: str):
    done = subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_its_python_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]):
    [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    jax.config.update("jax_disable_most_optimizations", True)  # most of its time is compiling
    try:
        exec(compile(block, "README.md", "exec"), {})
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
    shape, returns = capsys.readouterr().out.splitlines()
    [said_shape, said_returns] = re.findall(r"print\(.*#\s*(\(.*?\)|\[.*?\])", block)
    assert shape == said_shape
    first, *rest = np.array(ast.literal_eval(",".join(returns.split()))) - ast.literal_eval(
        ",".join(said_returns.split())
    )
    assert abs(first) <= 4
    assert np.abs(rest).max() <= 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_the_files_that_a_document_links_to_exist(document: Path):
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / document.parent / link).exists()] == []


def test_the_models_named_are_those_of_the_shipped_experiments():
    (sentence,) = re.findall(r"^Models: (.*?)\.", README, re.MULTILINE | re.DOTALL)
    named = re.findall("`(.*?)`", sentence)
    shipped = {model for name in shipped_specs() for model in ExperimentFile(name).models}
    matching = {one: fnmatch.filter(shipped, one) for one in named}
    assert all(matching.values()), matching
    assert {model for models in matching.values() for model in models} == shipped


@cache
def comparison(experiment: str, *point: str) -> Comparison:
    [found] = [c for c in load_comparisons(ROOT / "results") if c.name == "-".join([experiment, "cpu", *point])]
    return found


def at_point(experiment: str, point: str) -> list[Record]:
    grids = [grid for grid in load_grids(ROOT / "results") if grid.experiment == experiment]
    return [record for grid in grids for record in grid.records if record.point == point]


def mmer(record: Record) -> float:
    return float(np.mean(list(max_mean_episodic_reward(read_metrics(record)).values())))


MEASURED = {
    "score, trial 4": lambda: {r.model: means(r, "train")[3].estimate for r in comparison("meta_brax").headline},
    "never trained on": lambda: {r.model: means(r, "held_out")[3].estimate for r in comparison("meta_brax").headline},
    "Gaussian": lambda: {
        r.model: means(r, "train")[3].estimate for r in comparison("meta_brax").records if r.rung == "gaussian"
    },
    "hidden goals": lambda: {r.model: means(r, "train")[3].estimate for r in comparison("brax_families").headline},
    "sees the goals": lambda: {
        r.model: means(r, "train")[3].estimate for r in comparison("brax_families", "privileged").headline
    },
    "return, trial 16": lambda: {
        r.model: mean_returns(r, "train")[15].estimate for r in comparison("meta_cartpole").headline
    },
    "the paper's projections": lambda: {
        r.model: mean_returns(r, "train")[15].estimate
        for r in comparison("meta_cartpole").records
        if r.rung == "gaussian"
    },
    "unroll 32": lambda: {r.model: last_return(r).estimate for r in at_point("memory_length", "64-truncated")},
    "MMER": lambda: {r.model: mmer(r) for r in at_point("popgym", "repeat_previous_hard")},
    "return of 96": lambda: {
        r.model: mean_returns(r, "train")[0].estimate for r in comparison("meta_dm_control").headline
    },
}
"""How each line of the README's table is measured, by a part of what it is called."""


@pytest.mark.parametrize("part", MEASURED)
def test_a_number_of_the_readme_is_the_recorded_one(part: str):
    [row] = [line for line in README.splitlines() if line.startswith("|") and part in line]
    said = dict(zip(("s5", "gru", "lstm", "transformer", "mlp"), row.strip("|").split("|")[1:], strict=True))
    recorded = MEASURED[part]()
    assert {model: cell.strip() for model, cell in said.items()} == {
        model: f"{recorded[model]:.2f}" if model in recorded else "–" for model in said
    }


def test_the_film_has_the_mean_over_episodes_beside_it():
    [(first, last)] = re.findall(r"the mean over episodes is (\S+) in trial 1, (\S+) in trial 4\.", README)
    [s5] = [record for record in comparison("meta_brax").headline if record.model == "s5"]
    returns = task_returns(s5, "reacher_spin")
    assert (first, last) == (f"{returns[0].estimate:.1f}", f"{returns[3].estimate:.1f}")


def test_nothing_is_left_to_fill_in():
    assert re.findall("@@.*?@@", README) == []


def test_it_is_read_in_a_few_minutes_and_wraps():
    assert len(README.splitlines()) <= 120
    assert [line for line in README.splitlines() if len(line) > 120] == []
