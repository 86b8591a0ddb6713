"""The environment that costs nothing is still one: episodes start, rewards answer actions."""

import jax
import jax.numpy as jnp
import numpy as np

from icrl.timing.idle import idle_environments


def test_idle_environments_reward_the_action_and_end_episodes():
    environments = idle_environments(2, trial_steps=2, trials_per_episode=2)
    key = jax.random.PRNGKey(0)
    state, timestep = environments.reset(key=key)
    action = jnp.array([[0.5, 9.0], [-3.0, 9.0]])
    starts = []
    for _ in range(4):
        state, timestep = jax.jit(environments.step)(state, action, key=jax.random.split(key))
        np.testing.assert_array_equal(timestep.reward, [0.5, -1.0])
        starts.append(np.asarray(timestep.episode_start))
    assert np.array(starts).tolist() == [[False, False], [False, True], [False, False], [True, False]]
