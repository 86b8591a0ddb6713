"""What the fields of an experiment determine, and with which changes a run can be resumed."""

from typing import Any

import pytest

from icrl.errors import join_path
from icrl.spec.experiment import training_changes
from icrl.spec.experiment_file import load_experiment
from icrl.spec.parse import to_dict


def leaves(plain: dict[str, Any], where: str = "") -> set[str]:
    found = set()
    for key, value in plain.items():
        path = join_path(where, key)
        found |= leaves(value, path) if isinstance(value, dict) else {path}
    return found


def plain(*overrides: str) -> dict[str, Any]:
    return to_dict(load_experiment("meta_brax", scale="smoke", overrides=overrides))


def test_every_field_says_what_it_determines():
    spec = load_experiment("meta_brax", scale="smoke")
    training, evaluation = (leaves(to_dict(spec, purpose)) for purpose in ("training", "evaluation"))
    assert training <= evaluation
    assert evaluation - training == {
        "environment.held_out",
        *(f"evaluation.{name}" for name in to_dict(spec.evaluation)),
    }
    others = {path.partition(".")[0] for path in leaves(to_dict(spec)) - evaluation}
    assert others == {
        *("name", "model_name", "scale", "point"),
        *("specialist", "checkpoint", "benchmark", "resources", "wandb"),
    }
    assert training >= {"seed", "num_seeds", "num_rows", "updates_per_chunk", "environment.train", "model.width"}


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "environment.held_out=[]",
        "evaluation.seed=5",
        "specialist.num_rows=128",
        "checkpoint.keep=1",
        "benchmark.rows=4",
        "resources.cpus=2",
        "wandb=disabled",
    ],
)
def test_a_run_can_be_resumed_with_other_fields_that_do_not_determine_training(override: str):
    assert training_changes(plain(), plain(override)) == []


def test_a_run_cannot_be_resumed_with_other_fields_that_do():
    changes = training_changes(plain("seed=1"), plain("learner.trace=0.5", "updates_per_chunk=3", "checkpoint.keep=1"))
    assert changes == ["seed: 1 -> 0", "learner.trace: 0.95 -> 0.5", "updates_per_chunk: 2 -> 3"]


def test_a_budget_can_only_grow_and_only_without_annealing():
    short, long = "total_env_steps=10000", "total_env_steps=20000"
    constant, annealed = ("learner.anneal_learning_rate=" + value for value in ("false", "true"))
    assert training_changes(plain(short, constant), plain(long, constant)) == []
    assert training_changes(plain(long, constant), plain(short, constant)) == [
        "total_env_steps: 20000 -> 10000 (a run can only be extended)"
    ]
    assert training_changes(plain(short, annealed), plain(long, annealed)) == [
        "total_env_steps: 10000 -> 20000 (the learning rate is annealed to zero over the old budget)"
    ]


def test_fields_that_the_old_spec_lacks_have_their_defaults_and_what_cannot_be_read_is_compared_as_it_stands():
    old = plain()
    del old["learner"]["trace"], old["evaluation"]
    assert training_changes(old, plain()) == []
    assert training_changes(old, plain("learner.trace=0.5")) == ["learner.trace: 0.95 -> 0.5"]
    assert training_changes({**plain(), "gone": 1}, plain()) == ["gone: 1 -> absent"]
