"""Several environments in one batch: a switch computes the same physics as rows bound to environments."""

import jax
import jax.numpy as jnp
import numpy as np

from icrl.envs.environment import Environment
from icrl.envs.spaces import Continuous
from icrl.timing.physics import _bound, _switched, measure_physics
from icrl.types import Transition


class Growing(Environment):
    """Starts at random and is multiplied by its rate at every step; the reward is what it has become."""

    observation_size = 1
    action_space = Continuous(1)

    def __init__(self, rate: float) -> None:
        self.rate, self.tasks = rate, (f"rate_{rate}",)

    def sample_task(self, index, *, key):
        return ()

    def reset(self, task, *, key):
        start = jax.random.uniform(key)
        return start, start[None]

    def step(self, task, state, action, *, key):
        state = self.rate * state
        false = jnp.zeros((), bool)
        return state, Transition(state[None], state, false, false)


ENVIRONMENTS = [Growing(2.0), Growing(3.0)]


def test_a_switch_gives_the_rewards_of_rows_bound_to_environments():
    key, rows, steps = jax.random.PRNGKey(0), 3, 4
    bound, switched = (jax.jit(run(ENVIRONMENTS, rows, steps))(key) for run in (_bound, _switched))
    np.testing.assert_allclose(bound, switched, rtol=1e-6)
    alone = [jax.jit(_bound([environment], rows, steps))(key) for environment in ENVIRONMENTS]
    np.testing.assert_allclose(bound, sum(alone), rtol=1e-6)
    np.testing.assert_allclose(alone[1][1:] / alone[1][:-1], 3.0, rtol=1e-6)


def test_the_ideal_is_the_sum_of_the_environments_alone():
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    record = measure_physics(ENVIRONMENTS, rows_each=2, num_steps=3, repetitions=2, clock=clock)
    assert record["env_steps"] == 12
    assert record["seconds"]["ideal"]["median"] == 2.0
    assert record["bound_to_ideal"]["median"] == 0.5
    assert record["switch_to_bound"]["median"] == 1.0
    assert record["env_steps_per_second"] == {"bound": 12.0, "switch": 12.0}
