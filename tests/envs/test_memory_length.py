"""bsuite's memory length, against what bsuite 0.3.6 and Gymnax 1.0.1 give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.memory_length import TASKS, MemoryLength, environments
from icrl.envs.suites import TaskSetSpec
from icrl.types import Transition


def played(length: int, action: int, seed: int) -> tuple[np.ndarray, Transition]:
    """The first observation, and a whole trial ``[T, ...]`` of one action throughout."""
    environment = MemoryLength(("it",), length)
    state, first = environment.reset((), key=jax.random.key(seed))

    def step(state, _):
        return environment.step((), state, jnp.int32(action), key=jax.random.key(0))

    _, steps = jax.jit(lambda state: jax.lax.scan(step, state, length=environment.max_trial_steps))(state)
    return np.asarray(first), jax.tree.map(np.asarray, steps)


# What bsuite's MemoryChain(memory_length=4) shows of a bit that is 1: after its reset, then after each of five steps.
FIRST = [1.0, 0.0, 1.0]
LATER = [[1.0, 0.0, 1.0], [0.75, 0.0, 0.0], [0.5, 0.0, 0.0], [0.25, 0.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("seed", range(4))
def test_a_trial_is_bsuites_step_by_step(seed: int):
    first, steps = played(4, action=1, seed=seed)
    bit = first[2]
    assert bit in (-1, 1)
    np.testing.assert_array_equal(first, [*FIRST[:2], bit * FIRST[2]])
    np.testing.assert_array_equal(steps.observation, np.array(LATER) * [1, 1, bit])
    np.testing.assert_array_equal(steps.reward, [0, 0, 0, 0, bit])
    np.testing.assert_array_equal(steps.terminated, [False] * 4 + [True])
    assert not steps.truncated.any()


def test_both_bits_are_drawn_and_the_other_action_is_the_wrong_one():
    bits = {seed: played(4, action=1, seed=seed)[0][2] for seed in range(8)}
    assert set(bits.values()) == {-1, 1}
    for seed, bit in bits.items():
        assert played(4, action=0, seed=seed)[1].reward[-1] == -bit


def test_the_longest_trial_reaches_its_reward():
    _, steps = played(8192, action=0, seed=0)
    assert steps.terminated.nonzero()[0].tolist() == [8192]
    assert abs(steps.reward[-1]) == 1
    np.testing.assert_array_equal(steps.reward[:-1], 0)


def test_lengths_are_chosen_by_name():
    assert list(TASKS.values()) == [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
    assert [environment.length for environment in environments(["memory_length_64", "memory_length_4"])] == [64, 4]


def test_the_agent_sees_bsuites_observation_and_where_trials_start():
    spec = TaskSetSpec(
        suite="bsuite",
        train=("memory_length_4",),
        trial_steps=None,
        trials_per_episode=1,
        observe_action=False,
        observe_reward=False,
        projection=None,
    )
    batch = spec.build(spec.train, 2)
    assert (batch.observation_size, batch.episode_steps, batch.action_space.size) == (3 + 2, 5, 2)
