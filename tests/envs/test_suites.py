"""Task sets: what a suite's environments look like to the agent, and which sets are refused."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.projection import ProjectionSpec
from icrl.envs.spaces import Continuous, Discrete
from icrl.envs.suites import TaskSetSpec
from icrl.errors import SpecError
from icrl.spec.parse import parse, to_dict
from tests.quick import jit


def as_it_is(*train: str, **fields) -> TaskSetSpec:
    """Tasks of popgym without projections and limits."""
    defaults = {"suite": "popgym", "trial_steps": None, "trials_per_episode": 1, "projection": None}
    return TaskSetSpec(train=train, **defaults | fields)


def test_without_projections_the_agent_meets_the_environments_own_sizes():
    environments = as_it_is("repeat_previous_hard").build(["repeat_previous_hard"], 2)
    assert environments.action_space == Discrete(4)
    assert environments.observation_size == 4 + 3 + 4  # suit; reward and flags; previous action
    environments = as_it_is("stateless_pendulum_hard", observe_reward=False).build(["stateless_pendulum_hard"], 2)
    assert environments.action_space == Continuous(1)
    assert environments.observation_size == 2 + 2 + 1


def test_rows_are_staggered_in_training_unless_the_spec_says_otherwise():
    spec = as_it_is("stateless_pendulum_hard", trials_per_episode=3, trial_steps=2, projection=ProjectionSpec())

    def first_trials(spec: TaskSetSpec, *, training: bool) -> list[int]:
        environments = spec.build(spec.train, 3, training=training)
        return jit(environments.reset)(key=jax.random.PRNGKey(0))[1].trial.tolist()

    assert first_trials(spec, training=True) == [0, 1, 2]
    assert first_trials(replace(spec, stagger=False), training=True) == [0, 0, 0]
    assert first_trials(spec, training=False) == [0, 0, 0]


def test_the_change_of_what_is_seen_is_that_of_the_projected_observation():
    plain = as_it_is("stateless_pendulum_hard", trials_per_episode=2, trial_steps=3, projection=ProjectionSpec())
    seen, changed = (
        spec.build(spec.train, 2, training=True) for spec in (plain, replace(plain, observe_previous=True))
    )
    assert changed.observation_size == seen.observation_size + 12

    @jit
    def run(key):
        def play(environments):
            states, first = environments.reset(key=key)
            keys = jax.random.split(key, (12, 2))
            step = lambda states, keys: environments.step(states, jnp.ones((2, 2)), key=keys)  # noqa: E731
            return first, jax.lax.scan(step, states, keys)[1]

        return play(seen), play(changed)

    (_, plain_steps), (_, steps) = run(jax.random.key(0))
    shown = plain_steps.observation[..., :12]
    expected = jnp.where(steps.trial_start[1:, :, None], 0, shown[1:] - shown[:-1])
    np.testing.assert_allclose(steps.observation[1:, :, 12:24], expected, atol=1e-6)
    np.testing.assert_array_equal(np.delete(steps.observation, range(12, 24), axis=-1), plain_steps.observation)


def test_tasks_held_out_may_be_groups():
    one = as_it_is("repeat_first_easy", held_out=("repeat_first_medium", "repeat_first_hard"))
    assert one.splits == {"train": one.train, "held_out": ("repeat_first_medium", "repeat_first_hard")}
    groups = {"longer": ("repeat_first_medium",), "longest": ("repeat_first_hard",)}
    two = replace(one, held_out=groups)
    assert parse(TaskSetSpec, to_dict(two)) == two
    assert list(two.splits) == ["train", "held_out/longer", "held_out/longest"]
    assert two.tasks == one.tasks == ("repeat_first_easy", "repeat_first_medium", "repeat_first_hard")
    assert [two.split_of(task) for task in two.tasks] == list(two.splits)
    assert two.longest_trial == one.longest_trial


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (
            {"far": ["repeat_first_hard", "repeat_first_har"]},
            "held_out.far[1]: got 'repeat_first_har'; expected one of",
        ),
        (
            {"far": ["repeat_first_hard"], "near": ["repeat_first_hard"]},
            "train, held_out: got 'repeat_first_hard' more",
        ),
        ({"far/near": []}, "held_out: got 'far/near'; expected a plain name"),
        ({"far": 3}, "held_out.far: got 3; expected a list"),
        (3, "held_out: got 3; expected a list"),
    ],
)
def test_groups_are_refused_as_lists_are(held_out: object, message: str):
    data = to_dict(as_it_is("repeat_first_easy")) | {"held_out": held_out}
    with pytest.raises(SpecError, match=f"^{re.escape(message)}"):
        parse(TaskSetSpec, data)


def test_without_a_limit_trials_last_as_long_as_the_environments_let_them():
    spec = as_it_is("repeat_previous_easy", "repeat_previous_hard")
    assert spec.longest_trial == 3 * 52 - 1
    environments = spec.build(spec.train, 2)
    assert [member.trial_steps for member in environments.members] == [51, 155]
    assert environments.episode_steps == 155


def test_a_limit_ends_trials_before_the_environments_do():
    spec = as_it_is("repeat_previous_hard", trial_steps=10)
    assert spec.longest_trial == spec.build(spec.train, 1).episode_steps == 10


def test_projections_keep_the_limit_of_the_environment_within():
    spec = as_it_is("stateless_pendulum_hard", projection=ProjectionSpec())
    assert spec.longest_trial == spec.build(spec.train, 1).episode_steps == 100


@pytest.mark.parametrize(
    ("task", "length", "flag"),
    [("repeat_first_easy", 51, "terminated"), ("stateless_pendulum_hard", 100, "truncated")],
)
def test_an_episode_ends_by_the_flag_of_its_environment(task: str, length: int, flag: str):
    environments = as_it_is(task, observe_reward=False).build([task], 2)
    actions = jnp.zeros((2, 1)) if task.startswith("stateless") else jnp.zeros(2, jnp.int32)

    @jit
    def run(key):
        states, _ = environments.reset(key=key)
        keys = jax.random.split(key, 2 * length)
        return jax.lax.scan(
            lambda states, key: environments.step(states, actions, key=jax.random.split(key)), states, keys
        )[1]

    steps = run(jax.random.key(0))
    ends = np.arange(2 * length) % length == length - 1
    for name in ("terminated", "truncated"):
        np.testing.assert_array_equal(getattr(steps, name), np.tile(ends & (name == flag), (2, 1)).T)
    np.testing.assert_array_equal(steps.episode_start, np.tile(ends, (2, 1)).T)
    assert (np.abs(steps.trial_return) <= 1).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"train": ("cartpole_balance",), "trial_steps": None},
            "trial_steps: got null; expected at least 1; nothing else ends a trial of cartpole_balance",
        ),
        (
            {"train": ("battleship_easy", "autoencode_easy"), "suite": "popgym", "projection": None},
            "projection: got null; expected tasks with the same observation size and action space; as they are, they "
            "differ: battleship_easy (2, Discrete(size=64)); autoencode_easy (6, Discrete(size=4))",
        ),
    ],
)
def test_a_set_that_no_agent_could_be_given_is_refused(fields: dict, message: str):
    with pytest.raises(SpecError) as refusal:
        TaskSetSpec(**fields)
    assert str(refusal.value) == message
