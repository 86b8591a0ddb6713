"""An experiment's YAML: what beats what, and what every mistake is told."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from icrl.envs import brax_suite
from icrl.errors import SpecError
from icrl.learners.a2c import A2C, A2CSpec
from icrl.learners.ppo import PPOSpec
from icrl.models import GRUSpec, MLPSpec, S5Spec
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import ExperimentFile, RecordSpec, load_experiment

# ---- A small one of our own

YAML = """
environment:
  train: [cartpole_balance, reacher_easy]
  projection: {kind: orthogonal}
models:
  s5: {kind: s5, width: 8}
  mlp: {kind: mlp, width: 16}
  gru: {kind: gru}
num_rows: 16
total_env_steps: 5e6
learner: {kind: ppo, learning_rate: 1e-4}
default_model: mlp
default_scale: large
scales:
  small: {num_rows: 8, models: {mlp: {width: 4}}, learner: {rollout_steps: 16}}
  large:
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "mine.yaml"
    file.write_text(YAML)
    return str(file)


def test_the_defaults_are_the_files(path: str):
    spec = load_experiment(path)
    assert (spec.name, spec.scale, spec.model_name) == ("mine", "large", "mlp")
    assert (spec.model, spec.num_rows, spec.total_env_steps) == (MLPSpec(width=16), 16, 5_000_000)
    assert spec.learner == PPOSpec(learning_rate=1e-4)


def test_without_defaults_the_first_scale_and_model_are_taken(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("".join(line for line in YAML.splitlines(keepends=True) if not line.startswith("default_")))
    spec = load_experiment(str(file))
    assert (spec.scale, spec.model_name, spec.model) == ("small", "s5", S5Spec(width=8))


def test_a_scale_changes_the_file(path: str):
    spec = load_experiment(path, scale="small")
    assert (spec.num_rows, spec.model, spec.learner.rollout_steps) == (8, MLPSpec(width=4), 16)
    assert spec.learner.learning_rate == 1e-4


def test_an_override_changes_the_scale_and_an_option_the_override(path: str):
    overrides = ["num_rows=12", "model.width=32", "seed=3", "environment.train=[cartpole_spin]"]
    spec = load_experiment(path, scale="small", overrides=overrides)
    assert (spec.num_rows, spec.model, spec.seed) == (12, MLPSpec(width=32), 3)
    assert spec.environment.train == ("cartpole_spin",)
    assert load_experiment(path, overrides=overrides, seed=4).seed == 4
    assert load_experiment(path, overrides=overrides, seed=None).seed == 3


def test_a_learner_is_chosen_by_its_kind(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        YAML.replace("{kind: ppo, learning_rate: 1e-4}", "{kind: a2c}").replace("num_rows: 16", "num_rows: 2")
    )
    spec = load_experiment(str(file), scale="large")
    assert (spec.learner, spec.env_steps_per_update) == (A2CSpec(), 2 * 32)
    assert isinstance(spec.build(), A2C)
    assert mistakes(str(file), "learner.clip=0.1") == [f"learner.clip: got an unknown key; expected {keys(A2CSpec)}"]


GRID = """
grid:
  1: {environment: {train: [cartpole_spin]}, num_rows: 2, learner: {num_minibatches: 2}}
  2: {models: {mlp: {width: 8}}}
"""


def test_a_point_of_the_grid_changes_the_scale_and_an_override_the_point(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(YAML + GRID)
    point = load_experiment(str(file), scale="small", point="1")
    assert (point.point, point.environment.train, point.num_rows) == ("1", ("cartpole_spin",), 2)
    assert point.learner.rollout_steps == 16
    assert load_experiment(str(file), scale="small", point="1", overrides=["num_rows=6"]).num_rows == 6
    assert load_experiment(str(file), scale="small", point="2").model == MLPSpec(width=8)
    off_the_grid = load_experiment(str(file), scale="small")
    assert (off_the_grid.point, off_the_grid.num_rows, off_the_grid.model) == ("", 8, MLPSpec(width=4))


def test_a_point_that_is_not_on_the_grid_is_refused(tmp_path: Path, path: str):
    file = tmp_path / "grid.yaml"
    file.write_text(YAML + GRID)
    assert mistakes(str(file), point="3") == ["point: got '3'; expected one of 1, 2"]
    message = "point: got '1'; expected none, since there is no grid at large scale"
    assert mistakes(path, point="1") == [message]


def test_a_list_of_grids_has_a_point_for_every_combination_of_which_the_later_beats_the_earlier(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(YAML + "grid: [{8: {num_rows: 8, seed: 8}, 16: }, {full: , truncated: {num_rows: 24}}]\n")
    assert list(ExperimentFile(str(file)).points) == ["8-full", "8-truncated", "16-full", "16-truncated"]
    points = [ExperimentFile(str(file)).experiment(point=point) for point in ("8-full", "8-truncated", "16-full")]
    assert [(spec.num_rows, spec.seed, spec.point) for spec in points] == [
        (8, 8, "8-full"),
        (24, 8, "8-truncated"),
        (16, 0, "16-full"),
    ]
    file.write_text(YAML + "grid: [{8: }, {}]\n")
    message = "grid[1]: got {}; expected a mapping from names to settings, with at least one"
    assert mistakes(str(file)) == [message]
    file.write_text(YAML + "grid: []\n")
    assert mistakes(str(file)) == [message.replace("[1]: got {}", ": got []")]


RECORD = """
record: {purpose: figure 1, num_seeds: {s5: 3, gru: 3}}
grid: {1: , 2: {record: {num_seeds: {mlp: 1}}}}
"""


def test_what_is_recorded_is_said_by_the_file_the_scale_and_the_point_each_field_whole(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(YAML.replace("{num_rows: 8,", "{record: {off_grid: true}, num_rows: 8,") + RECORD)
    large, small = ExperimentFile(str(file)), ExperimentFile(str(file), "small")
    assert large.record() == RecordSpec("figure 1", {"s5": 3, "gru": 3})
    assert small.record("1") == RecordSpec("figure 1", {"s5": 3, "gru": 3}, off_grid=True)
    assert small.record("2") == RecordSpec("figure 1", {"mlp": 1}, off_grid=True)
    assert small.experiment("s5", "2").num_seeds == 1


def test_changes_that_go_with_a_model_beat_the_point_and_lose_to_overrides(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(YAML + "grid: {1: {seed: 1, per_model: {gru: {num_seeds: 3}}}}\nper_model: {gru: {seed: 7}}\n")
    opened = ExperimentFile(str(file))
    assert [opened.experiment(model, "1").seed for model in ("s5", "gru")] == [1, 7]
    assert [opened.experiment(model, "1").num_seeds for model in ("s5", "gru")] == [1, 3]
    assert opened.experiment("gru", "1", ["seed=9"]).seed == 9


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("5", "per_model: got 5; expected a mapping from names to settings, with at least one"),
        ("{gru: 5}", "per_model.gru: got 5; expected a mapping"),
        ("{grü: {}}", "per_model.grü: got an unknown model; expected one of s5, mlp, gru; did you mean 'gru'?"),
    ],
)
def test_a_mistake_in_what_goes_with_a_model_is_refused(tmp_path: Path, section: str, message: str):
    file = tmp_path / "mine.yaml"
    file.write_text(f"{YAML}per_model: {section}\n")
    assert mistakes(str(file)) == [message]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("5", "record: got 5; expected a mapping"),
        (
            "{num_seed: {s5: 1}}",
            "record.num_seed: got an unknown key; expected one of purpose, num_seeds, off_grid, references; "
            "did you mean 'num_seeds'?",
        ),
        ("{num_seeds: {s5: 0}}", "record.num_seeds.s5: got 0; expected at least 1"),
        (
            "{num_seeds: {grü: 1}}",
            "record.num_seeds.grü: got an unknown model; expected one of s5, mlp, gru; did you mean 'gru'?",
        ),
    ],
)
def test_a_mistake_in_what_is_recorded_is_refused_by_every_command(tmp_path: Path, section: str, message: str):
    file = tmp_path / "mine.yaml"
    file.write_text(f"{YAML}record: {section}\n")
    assert mistakes(str(file)) == [message]


def test_a_model_is_chosen_whole(path: str):
    assert load_experiment(path, model="gru").model == GRUSpec()


def test_the_models_are_listed_in_the_files_order(path: str):
    assert ExperimentFile(path).models == ("s5", "mlp", "gru")


def test_the_budget_is_rounded_up_to_whole_chunks(path: str):
    overrides = ["learner.rollout_steps=10", "num_rows=8", "updates_per_chunk=5", "total_env_steps=401"]
    spec = load_experiment(path, overrides=overrides)
    assert (spec.env_steps_per_update, spec.num_chunks, spec.num_updates) == (80, 2, 10)
    assert load_experiment(path, overrides=[*overrides[:-1], "total_env_steps=400"]).num_updates == 5


def test_a_run_goes_where_nothing_else_of_it_goes(path: str):
    assert load_experiment(path).default_directory == Path("results/runs/mine/large/mlp/seed0")
    at_a_point = replace(load_experiment(path, scale="small"), point="64")
    assert at_a_point.default_directory == Path("results/runs/mine/small/mlp/64/seed0")
    several = load_experiment(path, model="gru", scale="small", seed=2, num_seeds=3)
    assert several.seeds == range(2, 5)
    assert several.default_directory == Path("results/runs/mine/small/gru/seeds2-4")


# ---- Mistakes


def mistakes(path: str, *overrides: str, **options) -> list[str]:
    with pytest.raises(SpecError) as refusal:
        load_experiment(path, overrides=overrides, **options)
    return str(refusal.value).splitlines()


TASKS = f"one of {', '.join(brax_suite.TASKS)}"
NO_VALUE = "expected no value; choose from models:, scales: and grid: with --model, --scale and --point"


def keys(spec: type) -> str:
    return f"one of {', '.join(field.name for field in fields(spec))}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "environment.train=[cartpole_balanse, reacher_easy]",
            f"environment.train[0]: got 'cartpole_balanse'; expected {TASKS}; did you mean 'cartpole_balance'?",
        ),
        (
            "environment.held_out=[reacher_easi]",
            f"environment.held_out[0]: got 'reacher_easi'; expected {TASKS}; did you mean 'reacher_easy'?",
        ),
        (
            "environment.held_out=[reacher_easy]",
            "environment.train, held_out: got 'reacher_easy' more than once; expected every task once",
        ),
        ("environment.train=[]", "environment.train: got no task; expected at least one task"),
        ("environment.trials_per_episode=0", "environment.trials_per_episode: got 0; expected at least 1"),
        ("environment.trial_steps=-4", "environment.trial_steps: got -4; expected at least 1"),
        (
            "environment.suite=barx",
            "environment.suite: got 'barx'; expected one of brax, bsuite, cartpole, dm_control, popgym, "
            "or module:Class; did you mean 'brax'?",
        ),
        (
            "environment.projection.kind=ortogonal",
            "environment.projection.kind: got 'ortogonal'; expected one of identity, sign, signed_permutation, "
            "orthogonal, gaussian, or module:Class; did you mean 'orthogonal'?",
        ),
        (
            "learner.num_minibatches=3",
            "learner.num_minibatches: got 3; expected a divisor of 8, the rows of each task; "
            "minibatches are sets of whole rows, as many of every task",
        ),
        (
            "specialist.num_rows=6",
            "specialist.learner.num_minibatches: got 4; expected a divisor of 6, the rows of each task; "
            "minibatches are sets of whole rows, as many of every task",
        ),
        ("num_rows=2.5", "num_rows: got 2.5; expected an integer"),
        ("num_rows=many", "num_rows: got 'many'; expected an integer"),
        ("total_env_steps=0", "total_env_steps: got 0; expected at least 1"),
        ("num_seeds=0", "num_seeds: got 0; expected at least 1"),
        ("seed=-1", "seed: got -1; expected between 0 and 4294967295"),
        ("updates_per_chunk=0", "updates_per_chunk: got 0; expected at least 1"),
        ("evaluation.episodes_per_task=0", "evaluation.episodes_per_task: got 0; expected at least 1"),
        ("evaluation.trials=0", "evaluation.trials: got 0; expected at least 1"),
        ("specialist.total_env_steps=0", "specialist.total_env_steps: got 0; expected at least 1"),
        ("checkpoint.every_seconds=0", "checkpoint.every_seconds: got 0.0; expected above 0"),
        ("checkpoint.keep=0", "checkpoint.keep: got 0; expected at least 1"),
        ("resources.cpus=0", "resources.cpus: got 0; expected at least 1"),
        ("resources.hours=0", "resources.hours: got 0.0; expected above 0"),
        ("learner.learning_rate=.nan", "learner.learning_rate: got nan; expected a finite number"),
        ("learner.learning_rate=0", "learner.learning_rate: got 0.0; expected above 0"),
        ("learner.kind=a3c", "learner.kind: got 'a3c'; expected one of ppo, a2c, muesli; did you mean 'a2c'?"),
        ("wandb=onlin", "wandb: got 'onlin'; expected one of offline, online, disabled; did you mean 'online'?"),
        ("lerner.clip=0.1", f"lerner: got an unknown key; expected {keys(ExperimentSpec)}; did you mean 'learner'?"),
        (
            "learner.learnig_rate=0.1",
            f"learner.learnig_rate: got an unknown key; expected {keys(PPOSpec)}; did you mean 'learning_rate'?",
        ),
        ("models.mlp.width=8", f"models: got an unknown key; expected {keys(ExperimentSpec)}; did you mean 'model'?"),
        (
            "model.kind=s55",
            "model.kind: got 's55'; expected one of s5, gru, lstm, deltanet, transformer, mlp, hybrid, or "
            "module:Class; did you mean 's5'?",
        ),
        ("model.state_size=8", "model.state_size: got an unknown key; expected one of kind, width, num_layers"),
        (
            "scale=small",
            f"scale: got 'small'; {NO_VALUE}",
        ),
        (
            "model_name=s5",
            f"model_name: got 's5'; {NO_VALUE}",
        ),
    ],
)
def test_a_mistake_is_told_with_what_belongs_there(path: str, override: str, message: str):
    assert mistakes(path, override) == [message]


def test_rows_that_tasks_cannot_share_are_refused(path: str):
    message = "num_rows: got 7; expected a multiple of the 2 training tasks"
    assert mistakes(path, "num_rows=7", "learner.num_minibatches=1") == [message]


def test_a_projection_that_cannot_fit_is_told_where_it_is(path: str):
    assert mistakes(path, "environment.projection.observation_size=3") == [
        f"environment.projection.observation_size: got 3; expected at least {size}, the observation size of "
        f"{task}; raise it, or choose kind gaussian"
        for task, size in (("cartpole_balance", 5), ("reacher_easy", 10))
    ]


def test_unknown_models_and_scales_are_told_with_the_files(path: str):
    assert mistakes(path, model="s55") == ["model: got 's55'; expected one of s5, mlp, gru; did you mean 's5'?"]
    assert mistakes(path, scale="smal") == ["scale: got 'smal'; expected one of small, large; did you mean 'small'?"]


def test_several_mistakes_are_told_at_once(path: str):
    overrides = ["num_rows=2.5", "environment.trial_steps=0", "learner.clip=-1", "sed=1", "policy.heads=[0]"]
    assert mistakes(path, *overrides) == [
        f"sed: got an unknown key; expected {keys(ExperimentSpec)}; did you mean 'seed'?",
        "environment.trial_steps: got 0; expected at least 1",
        "num_rows: got 2.5; expected an integer",
        "policy.heads[0]: got 0; expected at least 1",
        "learner.clip: got -1.0; expected above 0",
    ]
    overrides = [
        "environment.train=[reacher_esay]",
        "environment.action_repeat=0",
        "environment.trial_steps=-4",
        "environment.projection.action_size=0",
        "environment.projection.curriculum=[orthogonal]",
        "learner.num_epochs=0",
        "learner.trace=2",
        "learner.rollout_steps=many",
        "evaluation.trials=0",
        "evaluation.seed=-1",
    ]
    assert [line.partition(":")[0] for line in mistakes(path, *overrides)] == [
        "environment.projection.action_size",
        "environment.projection.curriculum",
        "environment.trial_steps",
        "environment.action_repeat",
        *["learner.rollout_steps", "learner.trace", "learner.num_epochs"],
        *["evaluation.seed", "evaluation.trials"],
    ]
    assert [line.partition(":")[0] for line in mistakes(path, *overrides[:3])] == [
        "environment.trial_steps",
        "environment.action_repeat",
        "environment.train[0]",
    ]
    assert mistakes(path, "num_rows=7", "seed=-1", "num_seeds=0") == [
        "seed: got -1; expected between 0 and 4294967295",
        "num_seeds: got 0; expected at least 1",
        "num_rows: got 7; expected a multiple of the 2 training tasks",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("models: {}", "models: got {}; expected a mapping from names to settings, with at least one"),
        ("models: [s5]", "models: got ['s5']; expected a mapping from names to settings, with at least one"),
        ("scales: {small: 3}", "scales.small: got 3; expected a mapping"),
        ("default_scale: big", "scale: got 'big'; expected one of small, large"),
        ("default_scale: [small]", "scale: got ['small']; expected one of small, large"),
        ("default_model: {s5: 1}", "model: got {'s5': 1}; expected one of s5, mlp, gru"),
        ("default_model: rnn", "model: got 'rnn'; expected one of s5, mlp, gru"),
        ("model: {kind: s5}", f"model: got {{'kind': 's5'}}; {NO_VALUE}"),
    ],
)
def test_a_mistake_in_the_sections_of_variants_is_told(tmp_path: Path, line: str, message: str):
    section = line.partition(":")[0]
    parts = YAML.split("\n")
    start = next((i for i, part in enumerate(parts) if part.startswith(f"{section}:")), len(parts))
    end = next((i for i in range(start + 1, len(parts)) if not parts[i].startswith(" ")), len(parts))
    file = tmp_path / "mine.yaml"
    file.write_text("\n".join([*parts[:start], line, *parts[end:]]))
    (found,) = mistakes(str(file))
    assert found.startswith(message)


@pytest.mark.parametrize("section", ["models", "scales"])
def test_a_file_without_a_section_of_variants_is_refused(tmp_path: Path, section: str):
    file = tmp_path / "mine.yaml"
    file.write_text("num_rows: 8\n" + ("scales: {cpu: {}}\n" if section == "models" else ""))
    assert mistakes(str(file)) == [
        f"{section}: got nothing; expected a mapping from names to settings, with at least one"
    ]
