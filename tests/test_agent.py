"""A trained agent, loaded by `icrl.load`: it acts as its record says, from wherever it is loaded."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import icrl
from icrl.errors import UserError
from icrl.spec.shipped import SHIPPED, shipped_agents, shipped_references

TASK = "reacher_spin"


def score_of(returns: np.ndarray) -> np.ndarray:
    lines = json.loads(shipped_references("meta_brax").read_text())["references"][TASK]
    floor = max(lines["random"], lines["do_nothing"])
    return (returns - floor) / (lines["specialist"] - floor)


def test_the_shipped_agent_played_step_by_step_scores_what_its_record_says():
    agent = icrl.load("meta_brax-s5", seed=1)
    environments = agent.environments([TASK], num_rows=32)
    memory, step = agent.initial_memory(32), jax.jit(environments.step)
    state, now = jax.jit(environments.reset)(key=jax.random.PRNGKey(0))
    returns_NB = np.zeros((environments.trials_per_episode, 32))
    for key in jax.random.split(jax.random.PRNGKey(1), environments.episode_steps):
        memory, action = agent.act(memory, now.observation, now.episode_start, key=key)
        state, now = step(state, action, key=jax.random.split(key, 32))
        returns_NB[now.trial, np.arange(32)] = now.trial_return

    record = json.loads((SHIPPED / "results/records/meta_brax/cpu/s5.json").read_text())
    recorded_EN = score_of(np.array(record["tasks"][TASK]["returns"][record["seeds"].index(1)]))
    played_BN = score_of(returns_NB.T)
    # The first trial is a search, whose luck differs: three standard errors are 0.35; in the last they are 0.02.
    assert played_BN[:, 0].mean() == pytest.approx(recorded_EN[:, 0].mean(), abs=0.35)
    assert played_BN[:, -1].mean() == pytest.approx(recorded_EN[:, -1].mean(), abs=0.03)
    assert recorded_EN[:, -1].mean() > 0.9


def test_an_agent_is_one_seed_of_a_run_and_the_same_from_its_name_its_folder_and_its_checkpoint():
    first, third = icrl.load("meta_brax-s5"), icrl.load("meta_brax-s5", seed=2)
    assert (first.seed, third.seed, first.env_steps) == (0, 2, 6_045_696)
    assert first.tasks[0] == "cartpole_balance"
    assert "reacher_hard" in first.tasks
    observation, reset = jnp.ones((2, first.environments().observation_size)), jnp.array([True, False])

    def acts(agent: icrl.Agent, **options: jax.Array) -> np.ndarray:
        return np.asarray(agent.act(agent.initial_memory(2), observation, reset, **options)[1])

    folder = shipped_agents()["meta_brax-s5"]
    for target in (folder, str(folder), folder / "checkpoints" / "246"):
        assert np.array_equal(acts(icrl.load(target)), acts(first))
    assert not np.array_equal(acts(third), acts(first))
    drawn = acts(first, key=jax.random.PRNGKey(0))
    assert np.array_equal(drawn, acts(first, key=jax.random.PRNGKey(0)))
    assert not np.array_equal(drawn, acts(first))
    assert not np.array_equal(drawn[0], drawn[1])  # rows draw on their own


def test_what_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"seed: got 3; expected one of 0, 1, 2"):
        icrl.load("meta_brax-s5", seed=3)
    with pytest.raises(UserError, match="icrl train meta_brax"):
        icrl.load("meta_brax")
    with pytest.raises(UserError, match=r"tasks: got \['reacher_spinn'\]; expected some of cartpole_balance, "):
        icrl.load("meta_brax-s5").environments(["reacher_spinn"])
