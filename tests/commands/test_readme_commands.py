"""What the README tells to run, as it stands there, in an empty folder: on the stand-in, and briefly."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from icrl.envs import brax_suite
from icrl.envs.suites import SUITES, Suite
from tests.commands.runs import ROOT, icrl
from tests.commands.stand_in import environments
from tests.test_readme import README, in_blocks

TRAINING = ("num_rows=96", "environment.trial_steps=4", "learner.rollout_steps=16", "total_env_steps=1536")
"""One update: 96 rows, the fewest that 6 tasks share equally in up to 16 minibatches, for one episode."""
BRIEFLY = {
    "train": (*TRAINING, "updates_per_chunk=1", "evaluation.episodes_per_task=2"),
    "evaluate": ("--episodes", "2"),
}
FIRST = "icrl train experiments/meta_brax.yaml"
"""What `make train` runs."""


@pytest.fixture
def stand_in_with_all_tasks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SUITES, "brax", Suite(tuple(brax_suite.TASKS), environments))
        yield


@pytest.mark.usefixtures("stand_in_with_all_tasks")
def test_the_readme_can_be_followed(tmp_path: Path):
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    assert f"(`{FIRST}`;" in README
    for command in [FIRST, *(command for command in in_blocks(README) if command.startswith("icrl "))]:
        _, verb, *arguments = shlex.split(command)
        done = icrl(verb, *arguments, *BRIEFLY.get(verb, ()))
        assert done.exit_code == 0, f"{command}\n{done.stderr}"
