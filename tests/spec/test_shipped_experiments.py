"""Every shipped experiment builds, at every scale, with every model, at every point of its grid."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import ExperimentFile, load_experiment
from icrl.spec.parse import parse, read_yaml, to_dict
from icrl.spec.shipped import shipped_specs

SHIPPED = shipped_specs()
RECORDS = Path(__file__).parents[2] / "results/records"
VARIANTS = [
    (name, scale, model)
    for name, path in SHIPPED.items()
    for scale in read_yaml(path)["scales"]
    for model in ExperimentFile(str(path), scale).models
]


@pytest.mark.parametrize(("name", "scale", "model"), VARIANTS)
def test_every_shipped_experiment_builds_at_every_scale_with_every_model(name: str, scale: str, model: str):
    spec = load_experiment(name, scale=scale, model=model)
    assert (spec.name, spec.scale, spec.model_name) == (name, scale, model)
    if spec.environment.suite == "dm_control":
        pytest.importorskip("mujoco_playground", reason="needs the optional package playground")
    learner = spec.build()
    assert set(learner.environments.tasks) == set(spec.environment.train)
    tasks = spec.environment.tasks
    evaluated = spec.environment.build(tasks, len(tasks))
    assert set(evaluated.tasks) == set(tasks)
    assert evaluated.observation_size == learner.environments.observation_size

    rows = jnp.zeros((1, spec.num_rows))
    observation = jnp.zeros((1, spec.num_rows, learner.environments.observation_size))
    policy = learner.policy

    def act():
        memory = policy.initial_memory(spec.num_rows)
        (_, said), _ = policy.init_with_output(jax.random.PRNGKey(0), memory, observation, rows.astype(bool))
        return said.distribution.mode(), said.value

    action, value = jax.eval_shape(act)
    assert action.shape == learner.environments.action_space.zeros(*rows.shape).shape
    assert value.shape == rows.shape


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "benchmark"])
def test_an_update_at_gpu_scale_gives_a_state_like_the_one_it_takes(name: str):
    """At full size, of which nothing is computed: only types and shapes."""
    spec = load_experiment(name, scale="gpu", point=next(iter(ExperimentFile(name, "gpu").points), None))
    if spec.environment.suite == "dm_control":
        pytest.importorskip("mujoco_playground", reason="needs the optional package playground")
    learner = spec.build()
    state = jax.eval_shape(learner.init, jax.random.PRNGKey(0))
    after, metrics = jax.eval_shape(learner.update, state)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert metrics["loss"].shape == ()


@pytest.mark.parametrize("name", ["brax_families", "meta_brax", "meta_cartpole", "meta_dm_control", "popgym"])
def test_eight_devices_share_the_rows_of_paper_scale(name: str):
    spec = load_experiment(name, scale="paper")
    assert spec.rows_per_task % (8 * spec.learner.row_groups) == 0


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_experiment_has_the_four_scales_and_says_what_it_claims(name: str):
    assert set(read_yaml(SHIPPED[name])["scales"]) >= {"smoke", "cpu", "gpu", "paper"}
    assert load_experiment(name).scale == "cpu"
    header = [line for line in SHIPPED[name].read_text().splitlines() if line.startswith("# ")]
    assert {"Claim", "Figure", "Command"} <= {line[2:].partition(":")[0] for line in header}


@pytest.mark.parametrize(("name", "scale", "model"), VARIANTS)
def test_a_resolved_spec_is_read_back_as_it_was(name: str, scale: str, model: str):
    spec = load_experiment(name, scale=scale, model=model)
    assert parse(ExperimentSpec, to_dict(spec)) == spec


@pytest.mark.parametrize(
    ("name", "scale", "point"),
    [
        (name, scale, point)
        for name, path in SHIPPED.items()
        for scale in read_yaml(path)["scales"]
        for point in ExperimentFile(name, scale).points
    ],
)
def test_every_point_of_a_shipped_grid_is_an_experiment(name: str, scale: str, point: str):
    for model in ExperimentFile(name, scale).models:
        spec = load_experiment(name, scale=scale, model=model, point=point)
        assert spec.point == point
        assert parse(ExperimentSpec, to_dict(spec)) == spec


@pytest.mark.parametrize("name", SHIPPED)
def test_s5_starts_as_the_original_does_at_paper_scale_and_as_recorded_elsewhere(name: str):
    """A record's network is the one its experiment still builds, initialisation included."""
    model = load_experiment(name, model="s5", scale="paper").model
    assert (model.b_init, model.c_init) == ("lecun_normal", "lecun_normal")
    for file in RECORDS.glob(f"{name}/*/*.spec.yaml"):
        recorded = parse(ExperimentSpec, read_yaml(file))
        point = recorded.point or None
        assert (
            load_experiment(name, model=recorded.model_name, scale=recorded.scale, point=point).model == recorded.model
        )
