"""Returns and advantages, where termination and truncation are kept apart."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def next_values(
    value_TB: Float[Array, "T B"],
    last_value_B: Float[Array, " B"],
    episode_end_TB: Bool[Array, "T B"],
    bootstrap_TB: Float[Array, "T B"],
) -> Float[Array, "T B"]:
    """What each step's successor is worth, ``v_{t+1}``.

    Inside an episode it is the value of the next step, also across trials: the agent lives on in the same context. At
    an episode's end it is ``bootstrap``: the final observation's value where the last trial was truncated, 0 where it
    terminated.
    """
    following_TB = jnp.concatenate([value_TB[1:], last_value_B[None]])
    return jnp.where(episode_end_TB, bootstrap_TB, following_TB)


def generalized_advantage(
    reward_TB: Float[Array, "T B"],
    value_TB: Float[Array, "T B"],
    next_value_TB: Float[Array, "T B"],
    episode_end_TB: Bool[Array, "T B"],
    *,
    discount: float,
    trace: float,
) -> Float[Array, "T B"]:
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
