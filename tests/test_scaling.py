"""The plan in docs/scaling.md follows from its spec and from what it says of one card."""

import re
from pathlib import Path

import pytest

from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import load_experiment

PLAN = (Path(__file__).parents[1] / "docs/scaling.md").read_text().partition("## A plan for")[2]
MEGABYTES = 9.6
"""Of gradients."""


def table(first: str) -> dict[str, list[str]]:
    """The rows of the table whose first heading is this, by their own up to a colon or comma."""
    lines = PLAN.split(f"| {first} |")[1].partition("\n\n")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines[2:]]
    return {re.split("[:,]", name)[0]: cells for name, *cells in rows}


SECONDS = {name: float(seconds) for name, (seconds, _) in table("one H100").items()}
CARDS = {1: [], 8: [], 64: ["num_rows=1152", "learner.num_minibatches=3"]}


@pytest.mark.parametrize("column", range(len(CARDS)))
def test_the_plan_follows_from_the_spec_and_one_card(column: int):
    cards, overrides = list(CARDS.items())[column]
    spec: ExperimentSpec = load_experiment("meta_dm_control", scale="paper", point="ppo", overrides=overrides)
    learner, rows = spec.learner, spec.num_rows / cards
    minibatches, steps = learner.row_groups, learner.gradient_steps
    assert spec.equal_shares % cards == 0
    act, learn, all_reduce = SECONDS.values()
    seconds = {
        "hours of acting": learner.rollout_steps * act,
        "hours of learning": steps * rows / minibatches * learn,
        "hours of all-reduces": steps * all_reduce * (cards > 1),
    }
    hours = {name: spec.num_updates * of_update / 3600 for name, of_update in seconds.items()}
    expected = {
        "rows": f"{spec.num_rows}",
        "rows of a card": f"{rows:.0f}",
        "minibatches": f"{minibatches}",
        "gradient steps of an update": f"{steps}",
        "updates": f"{spec.num_updates}",
        "GB of all-reduced gradients of an update": f"{steps * MEGABYTES / 1e3:.2f}" if cards > 1 else "0",
        **{name: f"{value:.1f}" for name, value in hours.items()},
        "hours in all": f"{sum(hours.values()):.1f}",
    }
    assert {name: cells[column] for name, cells in table("cards").items()} == expected
    assert " ".join(["icrl train meta_dm_control --scale paper --point ppo", *overrides]) in PLAN
