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


def retrace(
    reward_TB: Float[Array, "T B"],
    q_TB: Float[Array, "T B"],
    next_value_TB: Float[Array, "T B"],
    ratio_TB: Float[Array, "T B"],
    episode_end_TB: Bool[Array, "T B"],
    *,
    discount: float,
    trace: float,
) -> Float[Array, "T B"]:
    """Retrace's returns (arXiv 1606.02647, equations 3 and 4), for t = 0 .. T-1.

    ``G_t = r_t + discount * (v_{t+1} + (1 - end_t) c_{t+1} (G_{t+1} - q_{t+1}))`` with
    ``c_t = trace * min(1, ratio_t)`` and ``G_T = q_T``.

    Args:
        reward_TB: earned by action t.
        q_TB: the value of action t under the policy to be valued.
        next_value_TB: ``v_{t+1}`` under that policy, as `next_values` gives it.
        ratio_TB: how much likelier that policy is to take action t than the one that took it.
        episode_end_TB: action t ended the episode.
        discount: gamma.
        trace: lambda.
    """
    carried_TB = jnp.where(episode_end_TB, 0.0, discount)
    trace_TB = trace * jnp.minimum(1.0, ratio_TB)

    def step(surplus_B, inputs):  # c_{t+1} (G_{t+1} - q_{t+1})
        reward_B, q_B, next_value_B, carried_B, trace_B = inputs
        return_B = reward_B + discount * next_value_B + carried_B * surplus_B
        return trace_B * (return_B - q_B), return_B

    inputs = reward_TB, q_TB, next_value_TB, carried_TB, trace_TB
    return jax.lax.scan(step, jnp.zeros_like(reward_TB[0]), inputs, reverse=True)[1]
