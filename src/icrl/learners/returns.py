"""Returns and advantages, where termination and truncation are kept apart."""

import jax
import jax.numpy as jnp


def next_values(
    value_TB: jax.Array, last_value_B: jax.Array, episode_end_TB: jax.Array, bootstrap_TB: jax.Array
) -> jax.Array:
    """What each step's successor is worth, ``v_{t+1}`` ``[T, B]``.

    Inside an episode it is the value of the next step, also across trials: the agent lives on in the same context. At
    an episode's end it is ``bootstrap``: the final observation's value where the last trial was truncated, 0 where it
    terminated.
    """
    following_TB = jnp.concatenate([value_TB[1:], last_value_B[None]])
    return jnp.where(episode_end_TB, bootstrap_TB, following_TB)


def generalized_advantage(
    reward_TB: jax.Array,
    value_TB: jax.Array,
    next_value_TB: jax.Array,
    episode_end_TB: jax.Array,
    *,
    discount: float,
    trace: float,
) -> jax.Array:
    """Generalised advantage estimation (arXiv 1506.02438, equation 16), for t = 0 .. T-1.

    ``A_t = delta_t + discount * trace * (1 - end_t) A_{t+1}`` with ``delta_t = r_t + discount * v_{t+1} - v_t`` and
    ``A_T = 0``. ``A + v`` is the lambda-return.
    """
    delta_TB = reward_TB + discount * next_value_TB - value_TB
    decay_TB = jnp.where(episode_end_TB, 0.0, discount * trace)

    def step(advantage_B, inputs):
        delta_B, decay_B = inputs
        advantage_B = delta_B + decay_B * advantage_B
        return advantage_B, advantage_B

    return jax.lax.scan(step, jnp.zeros_like(delta_TB[0]), (delta_TB, decay_TB), reverse=True)[1]
