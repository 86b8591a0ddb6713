"""The POPGym suite is popgym: every task against the original, step by step, from the original's hidden states."""

import gymnasium
import jax
import numpy as np
import pytest

from icrl.envs.popgym import TASKS, environments
from icrl.envs.spaces import Continuous, Discrete
from icrl.types import PyTree
from tests.envs.popgym import original
from tests.quick import jit

MISTAKES = (0.0, 0.1, 1.0)
"""Episodes of an expert, of one who errs now and then, and of chance."""


def stack(trees: list[PyTree]) -> PyTree:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def test_every_family_is_there_at_every_difficulty():
    assert {f"{family}_{d}" for family in original.NAMES for d in ("easy", "medium", "hard")} == set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_state_and_action_give_the_same_step(task: str):
    (ours,), theirs = environments([task]), original.make(task)
    steps, keys = [], []
    for seed, mistakes in enumerate(MISTAKES):
        played = list(original.episode(theirs, mistakes, seed=seed))
        steps += played
        keys.append(jax.random.key_data(original.step_keys(seed))[: len(played)])
    expected = original.Step(*(stack([step[i] for step in steps]) for i in range(len(original.Step._fields))))

    step = jit(jax.vmap(lambda *step, key: ours.step((), *step, key=jax.random.wrap_key_data(key))))
    state, found = step(expected.state, expected.action, key=np.concatenate(keys))

    np.testing.assert_allclose(found.observation, expected.observation, atol=1e-5)
    np.testing.assert_allclose(found.reward, expected.reward, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.terminated, expected.terminated)
    np.testing.assert_array_equal(found.truncated, expected.truncated & ~expected.terminated)
    # Hidden states agree too, so that agreement carries on from step to step.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), state, expected.next_state)


def first_observation(task: str, state: PyTree) -> np.ndarray:
    """What a trial's first observation shows of its state."""
    family = task.rpartition("_")[0].removeprefix("noisy_")
    one_hot = lambda index, size: np.eye(size, dtype=np.float32)[index]  # noqa: E731
    match family:
        case "stateless_cartpole":
            return np.asarray(state.motion)[[0, 2]]
        case "stateless_pendulum":
            return np.array([np.cos(state.angle), np.sin(state.angle)])
        case "repeat_first" | "repeat_previous":
            return one_hot(state.faces[0], 4)
        case "autoencode":
            return np.concatenate([one_hot(1, 2), one_hot(state.faces[0], 4)])
        case "higher_lower":
            return one_hot(state.faces[0], 13)
        case "count_recall":
            size = state.values.max() + 1
            return np.concatenate([one_hot(state.values[0], size), one_hot(state.queries[0], size)])
        case "concentration":
            down = state.faces.max() + 1
            return np.tile(one_hot(down, down + 1), state.faces.size)
        case _:
            return one_hot(0, TASKS[task].observation_size)


@pytest.mark.parametrize("task", [task for task in TASKS if not task.startswith("noisy")])
def test_a_trial_starts_with_the_same_observation(task: str):
    (ours,), theirs = environments([task]), original.make(task)
    observation, _ = theirs.reset(seed=1)
    expected = first_observation(task, original.hidden_state(theirs))
    np.testing.assert_allclose(original.flat(theirs, observation), expected, atol=1e-6)
    state, found = jax.device_get(jit(lambda key: ours.reset((), key=key))(jax.random.key(1)))
    np.testing.assert_allclose(found, first_observation(task, state), atol=1e-6)
    assert jax.tree.structure(state) == jax.tree.structure(original.hidden_state(theirs))


@pytest.mark.parametrize("task", TASKS)
def test_spaces_and_time_limits_are_the_same(task: str):
    ours, theirs = TASKS[task], original.make(task)
    assert ours.observation_size == gymnasium.spaces.flatdim(theirs.observation_space)
    match theirs.action_space:
        case gymnasium.spaces.Box() as box:
            expected = Continuous(box.shape[0])
        case gymnasium.spaces.MultiDiscrete() as pair:
            expected = Discrete(int(pair.nvec.prod()))
        case choice:
            expected = Discrete(int(choice.n))
    assert ours.action_space == expected
    assert ours.max_trial_steps == original.time_limit(theirs)
