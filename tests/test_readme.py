"""What the README tells to run exists: its commands parse, its specs resolve, the files it names are there."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from icrl.cli import app
from icrl.spec.experiment_file import ExperimentFile, load_experiment
from icrl.spec.shipped import shipped_agents, shipped_specs
from tests.test_cli import Commands, run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [path.relative_to(ROOT) for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]


def shown_commands() -> list[str]:
    """Every `icrl` and `make` command of the README, in blocks and in running text."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
    found = [command.replace(r"\|", "|") for command in lines + spans if re.match("(icrl|make) ", command)]
    return list(dict.fromkeys(found))


def is_pattern(command: str) -> bool:
    """Whether it says how commands are formed, as in `icrl train SPEC [--seed N]`."""
    return bool(re.search(r"\[|(?<!@)\b[A-Z_]{3,}\b(?!=)", command))


ICRL = [command for command in shown_commands() if command.startswith("icrl ")]
EXAMPLES = [command for command in ICRL if not is_pattern(command)]
PATTERNS = [command for command in ICRL if is_pattern(command)]
MAKE = [re.sub(r"[][]", "", command) for command in shown_commands() if command.startswith("make ")]


def test_commands_are_found():
    assert {command.split()[1] for command in EXAMPLES} == {"train", "evaluate", "reproduce"}
    assert {command.split()[1] for command in PATTERNS} >= {"train", "evaluate", "report"}
    assert {"make train", "make test"} <= set(MAKE)


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
    elif target and target not in shipped_agents():
        load_experiment(target, model=options["model"], scale=options["scale"])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_names_options_that_the_verb_has(pattern: str):
    verb = typer.main.get_command(app).commands[pattern.split()[1]]
    has = {option for parameter in verb.params for option in parameter.opts}
    assert set(re.findall(r"--[\w-]+", pattern)) <= has
    target = verb.params[0]
    assert pattern.split()[2].strip("[]") in (target.metavar or "")


@pytest.mark.parametrize("command", MAKE)
def test_a_make_target_is_one(command: str):
    done = subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_the_files_that_a_document_links_to_exist(document: Path):
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / document.parent / link).exists()] == []


def test_the_models_named_are_those_of_the_shipped_experiments():
    (named,) = re.findall(r"^Models: (.*?)\.", README, re.MULTILINE)
    assert set(re.findall("`(.*?)`", named)) == {
        model for name in shipped_specs() for model in ExperimentFile(name).models
    }


def test_nothing_is_left_to_fill_in():
    assert re.findall("@@.*?@@", README) == []


def test_it_is_read_in_a_few_minutes():
    assert len(README.splitlines()) <= 120
