"""docs/extending.md, followed to the letter: its files are written, its commands run, its entry points read."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from icrl.envs.projection import PROJECTIONS
from icrl.envs.suites import REGISTRY
from icrl.models import MODELS
from icrl.plugins import NAME
from tests.commands.runs import ROOT, icrl, manifest
from tests.outside import forgotten

TEXT = (ROOT / "docs" / "extending.md").read_text()
BLOCKS = [(match[1], match[2]) for match in re.finditer(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)]
FILES = dict(zip(re.findall(r"^`(\w+\.\w+)`:", TEXT, re.MULTILINE), [
    source for language, source in BLOCKS if language in ("python", "yaml")
], strict=True))  # fmt: skip
COMMANDS = [line for language, source in BLOCKS if language == "bash" for line in source.splitlines()]


@pytest.fixture(autouse=True)
def followed(tmp_path: Path) -> Iterator[None]:
    """The files of the page, in the working folder."""
    for name, source in FILES.items():
        (tmp_path / name).write_text(source)
    with forgotten():
        yield


def test_the_page_has_what_it_promises():
    assert list(FILES) == ["my_models.py", "my_envs.py", "my_projections.py", "mine.yaml"]
    assert [command.split()[1] for command in COMMANDS] == ["check"] * 4 + ["train"] * 2 + ["evaluate"]


def test_its_commands_do_what_it_says():
    for command in COMMANDS:
        _, *arguments = shlex.split(command)
        done = icrl(*arguments)
        assert done.exit_code == 0, f"{command}: {done.stdout}{done.stderr}"
    run = Path("results/runs/mine/smoke/decay/seed0")
    assert manifest(run)["plugins"].keys() == {"my_envs:Walk", "my_projections:PERMUTATION", "my_models:DecaySpec"}


def test_its_entry_points_are_of_the_groups_that_are_read():
    (toml,) = [source for language, source in BLOCKS if language == "toml"]
    groups = tomllib.loads(toml)["project"]["entry-points"]
    assert list(groups) == [registry.group for registry in (MODELS, REGISTRY, PROJECTIONS)]
    assert all(NAME.fullmatch(value) for group in groups.values() for value in group.values())
