"""The environments that the paper's released code gets wrong are right here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.popgym import TASKS
from icrl.envs.popgym.mine_sweeper import Minefield

DIFFICULTIES = ("easy", "medium", "hard")


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_autoencode_shows_the_cards_while_watching_and_none_while_playing(difficulty: str):
    env = TASKS[f"autoencode_{difficulty}"]

    def recite(carry, key):
        """Answers from memory alone: a stack of the suits seen, popped while playing."""
        state, observation, stack, height = carry
        suit, playing = jnp.argmax(observation[2:]), observation[0] == 1
        # The last card is shown with PLAY already on.
        shown = height + state.step < 2 * height + 1
        stack = stack.at[height].set(jnp.where(shown, suit, stack[height]))
        height = height + shown - playing
        state, transition = env.step((), state, jnp.where(playing, stack[height], 0), key=key)
        return (state, transition.observation, stack, height), (transition.reward, playing, observation)

    state, observation = env.reset((), key=jax.random.key(0))
    num_cards = state.faces.size
    start = (state, observation, jnp.zeros(num_cards + 1, jnp.int32), jnp.int32(0))
    keys = jax.random.split(jax.random.key(1), env.max_trial_steps)
    _, (rewards, playing, observations) = jax.lax.scan(recite, start, keys)
    assert not playing[: num_cards - 1].any() and playing[num_cards - 1 :].all()
    np.testing.assert_array_equal(np.argmax(observations[:num_cards, 2:], axis=1), state.faces)
    assert (np.argmax(observations[num_cards:, 2:], axis=1) == 0).all()
    np.testing.assert_allclose(rewards.sum(), 1.0, rtol=1e-5)


@pytest.mark.parametrize(("difficulty", "most"), [("easy", 26), ("medium", 26), ("hard", 16)])
def test_count_recall_has_an_action_for_every_count(difficulty: str, most: int):
    env = TASKS[f"count_recall_{difficulty}"]
    assert env.action_space.size == most + 1
    state, _ = env.reset((), key=jax.random.key(0))
    # Asked, at the last step, for a face whose cards have all been dealt.
    last = state.values.size - 2
    values = jnp.sort(state.values)
    state = state._replace(values=values, queries=state.queries.at[last].set(values[0]), step=jnp.int32(last))
    right, wrong = (env.step((), state, jnp.int32(count), key=jax.random.key(0))[1] for count in (most, most - 1))
    assert right.reward > 0 > wrong.reward


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_mine_sweeper_can_be_won(difficulty: str):
    env = TASKS[f"mine_sweeper_{difficulty}"]
    state, _ = env.reset((), key=jax.random.key(0))

    def view(state, square):
        state, transition = env.step((), state, square, key=jax.random.key(0))
        return state, transition

    free = np.flatnonzero(~np.asarray(state.mine))
    _, played = jax.lax.scan(view, state, jnp.asarray(free))
    np.testing.assert_array_equal(played.terminated, np.arange(free.size) == free.size - 1)
    assert not played.truncated.any()
    np.testing.assert_allclose(played.reward.sum(), 1.0, rtol=1e-5)


def test_mine_sweeper_tells_every_number_of_neighbouring_mines_apart():
    env = TASKS["mine_sweeper_hard"]
    ring = [0, 1, 2, 8, 10, 16, 17, 18]  # around square 9
    for count in range(len(ring) + 1):
        mine = jnp.zeros(64, bool).at[jnp.array(ring[:count], int)].set(True)
        field = Minefield(mine, jnp.zeros(64, bool), jnp.int32(0))
        _, transition = env.step((), field, jnp.int32(9), key=jax.random.key(0))
        np.testing.assert_array_equal(transition.observation, np.eye(10)[count])
