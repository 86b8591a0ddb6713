"""`icrl references`: the lines that scores of 0 and 1 stand for."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.commands import references
from icrl.commands.references import OneTask, specialist_of
from icrl.envs.brax_suite import bodies
from icrl.envs.projection import ProjectionSpec
from icrl.learners.ppo import PPOSpec
from icrl.models import MLPSpec
from icrl.records import Reference, recorded_references
from icrl.spec.experiment_file import load_experiment
from tests.commands.conftest import Finished
from tests.commands.runs import TINY, icrl

PATH = Path("results/references/tiny.json")


def test_specialists_learn_what_chance_and_rest_do_not_earn_and_scores_are_made_of_them(finished: Finished):
    done = icrl("references", TINY)
    assert (done.exit_code, done.stdout) == (0, f"{PATH}\n"), done.stderr
    record = json.loads(PATH.read_text())
    lines = record.pop("references")
    assert list(lines) == ["cartpole_centre", "cartpole_side"]
    assert (record["experiment"], record["trial_steps"], record["env_steps"]) == ("tiny", 4, 16_000)
    for line in lines.values():
        # to push all the way earns 3.4 on average, rest and chance half of each step's reward
        assert line["specialist"] > 2.7
        assert line["random"] == pytest.approx(2.0, abs=0.5)
        assert line["do_nothing"] == pytest.approx(2.0, abs=0.5)

    evaluated = icrl("evaluate", finished.path, "--out", "there")
    assert evaluated.exit_code == 0, evaluated.stderr
    assert json.loads(Path("there/evaluation.json").read_text())["references"] == lines
    assert "score: needs every task's references" not in evaluated.stdout


def test_a_specialist_that_learned_nothing_is_no_reference_and_costs_no_other(monkeypatch: pytest.MonkeyPatch):
    nothing = {"specialist": 2.0, "random": 1.0, "do_nothing": 2.0}
    lines = {"cartpole_centre": nothing, "cartpole_side": {**nothing, "specialist": 3.0}}
    monkeypatch.setattr(references, "_references_of", lambda spec: iter(lines.items()))
    done = icrl("references", TINY)
    assert (done.exit_code, done.stdout) == (1, f"{PATH}\n")
    assert done.stderr.splitlines()[-1] == (
        "icrl references: no reference for cartpole_centre: the specialist learned nothing; train it longer, or leave "
        "the task out"
    )
    assert json.loads(PATH.read_text())["references"] == {"cartpole_side": lines["cartpole_side"]}


def test_where_no_specialist_learned_nothing_is_written(monkeypatch: pytest.MonkeyPatch):
    lines = {"specialist": 2.0, "random": 1.0, "do_nothing": 2.0}
    monkeypatch.setattr(references, "_references_of", lambda spec: iter([("cartpole_centre", lines)]))
    done = icrl("references", TINY)
    assert (done.exit_code, done.stdout) == (1, "")
    assert not PATH.exists()


def test_a_specialist_is_trained_on_its_task_alone_and_sees_it_as_it_is():
    spec = load_experiment(str(TINY), num_seeds=3)
    alone = specialist_of(spec, "cartpole_side")
    assert (alone.environment.train, alone.environment.held_out) == (("cartpole_side",), ())
    assert alone.environment.trials_per_episode == 1
    assert alone.environment.trial_steps == spec.environment.trial_steps
    assert not alone.environment.projection.project_observation
    assert not alone.environment.projection.project_action
    assert (alone.num_seeds, alone.num_rows, alone.total_env_steps) == (1, 32, 16_000)
    assert alone.model == MLPSpec(width=16, num_layers=1)
    assert alone.learner == PPOSpec(rollout_steps=8, num_epochs=4, num_minibatches=2, learning_rate=1e-2)


def test_a_specialist_has_room_for_a_task_that_only_a_gaussian_projection_squeezes_into_the_agent_s():
    sizes = ["environment.projection.kind=gaussian", "environment.projection.observation_size=2"]
    alone = specialist_of(load_experiment(str(TINY), overrides=sizes), "cartpole_side")
    assert alone.environment.projection.observation_size == 3


def test_a_specialist_is_told_what_its_task_draws_and_hides():
    [body] = bodies(("pendulum_hold", "pendulum_turn"))
    seen = ProjectionSpec(kind="identity", observation_size=3, action_size=1).build(body)
    told = OneTask(seen, jnp.int32(1))
    assert (seen.observation_size, told.observation_size) == (3, 3 + 7)
    drawn = told.sample_task(jnp.int32(0), key=jax.random.key(0))
    assert drawn.inner.task_index == 1
    state, first = told.reset(drawn, key=jax.random.key(1))
    _, after = told.step(drawn, state, jnp.ones(1), key=jax.random.key(2))
    for observation in (first, after.observation):
        np.testing.assert_array_equal(observation[3:], body.hidden(drawn.inner))
    assert first[3] == pytest.approx(drawn.inner.goal[0] / 7)
    assert np.any(first[:3] != after.observation[:3])


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        (["environment.held_out=[]"], "got references of cartpole_side"),
        (["environment.trial_steps=5"], "got references in trials of 4 steps, each action held for 1"),
        (["environment.action_repeat=2"], "got references in trials of 4 steps, each action held for 1"),
    ],
)
def test_references_of_other_tasks_or_conditions_are_not_replaced(
    changes: list[str], wrong: str, monkeypatch: pytest.MonkeyPatch
):
    lines = {"specialist": 3.0, "random": 1.0, "do_nothing": 2.0}
    both = {"cartpole_centre": lines, "cartpole_side": lines}
    monkeypatch.setattr(references, "_references_of", lambda spec: iter(both.items()))
    assert icrl("references", TINY).exit_code == 0
    before = PATH.read_bytes()
    refused = icrl("references", TINY, *changes)
    assert refused.exit_code == 2
    assert f"{PATH}: {wrong}; expected none but what tiny at cpu scale makes again" in refused.stderr
    assert PATH.read_bytes() == before
    assert icrl("references", TINY).exit_code == 0


def test_the_present_folder_s_references_come_before_those_that_come_with_icrl_if_they_fit(caplog):
    steps, repeat = 32, 1
    shipped = recorded_references("meta_brax", steps, repeat)
    assert shipped["cartpole_balance"].specialist == 30.3659
    assert recorded_references("meta_brax", steps + 1, repeat) == {}
    own = Path("results/references/meta_brax.json")
    own.parent.mkdir(parents=True)
    described = {"schema": 1, "experiment": "meta_brax", "trial_steps": steps, "command": "icrl references meta_brax"}
    lines = {"cartpole_balance": {"specialist": 3.0, "random": 1.0, "do_nothing": 2.0}}
    own.write_text(json.dumps({**described, "references": lines}))
    assert recorded_references("meta_brax", steps, repeat) == {"cartpole_balance": Reference(1.0, 2.0, 3.0)}
    own.write_text(json.dumps({**described, "trial_steps": 5, "references": lines}))
    assert recorded_references("meta_brax", steps, repeat) == shipped
    assert caplog.text == ""
    own.write_text("{")
    assert recorded_references("meta_brax", steps, repeat) == shipped
    assert f"these references are not used: {own}: is not JSON" in caplog.text
