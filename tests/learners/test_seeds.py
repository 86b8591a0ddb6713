"""Several seeds in one program give what each gives alone, and for no more work than each needs."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.envs.multi import Environments
from icrl.envs.trial import Episodes
from icrl.learners.ppo import PPO, PPOSpec
from icrl.learners.seeds import over_seeds
from icrl.models import GRUSpec
from icrl.policy import PolicySpec
from tests.envs.counting import Counting
from tests.quick import jit

NUM_SEEDS = 2


@pytest.fixture(params=["cpu", "gpu"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(jax, "default_backend", lambda: request.param)
    return request.param


def test_every_seed_gets_what_it_would_get_alone(backend: str):
    def f(inputs):
        weights, bias = inputs
        return {"sum": jnp.tanh(weights @ jnp.ones(3) + bias), "count": bias > 0}

    weights, bias = np.arange(12.0).reshape(2, 2, 3) / 10, np.array([-1.0, 1.0])
    together = jax.jit(over_seeds(f))((weights, bias))
    for seed in range(NUM_SEEDS):
        alone = f((weights[seed], bias[seed]))
        np.testing.assert_allclose(together["sum"][seed], alone["sum"], rtol=1e-6)
        assert together["count"][seed] == alone["count"]


@pytest.fixture(scope="module")
def learner() -> PPO:
    """Its rows end their episodes at different steps, some by truncation."""
    episodes = Episodes(Counting(("endless", "ends_at_2"), terminates_at=(0, 2)), trial_steps=3, trials_per_episode=2)
    environments = Environments((episodes,), 4)
    policy = PolicySpec(encoder=(), heads=()).build(GRUSpec(width=4), environments.action_space)
    return PPOSpec(rollout_steps=5, num_epochs=1, num_minibatches=1).build(policy, environments, 1)


def conditionals(jaxpr: Any) -> Iterator[tuple[int, ...]]:
    """Shapes of the predicates of all `lax.cond` and `apply_if` in a program; one that is mapped over is for every row.

    A branch is then a `select`, and a turn is taken if any predicate of all is true.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name == "cond":
            yield equation.invars[0].aval.shape
        elif equation.primitive.name == "while" and equation.outvars[0].aval.dtype == bool:
            yield equation.outvars[0].aval.shape
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "jaxpr") or hasattr(inner, "eqns"):
                    yield from conditionals(getattr(inner, "jaxpr", inner))


@pytest.mark.parametrize("num_seeds", [1, NUM_SEEDS])
def test_resets_and_bootstraps_of_several_seeds_stay_branches(learner: PPO, backend: str, num_seeds: int):
    keys = jnp.stack([jax.random.PRNGKey(seed) for seed in range(num_seeds)])
    states = jax.eval_shape(jax.vmap(learner.init), keys)
    alone = jax.make_jaxpr(learner.update)(jax.eval_shape(learner.init, keys[0]))
    together = jax.make_jaxpr(over_seeds(learner.update))(states)
    # A trial's end, an episode's end within it, and the value of a truncated episode's last observation.
    assert list(conditionals(together.jaxpr)) == list(conditionals(alone.jaxpr)) == [()] * 3


def test_an_update_of_seeds_side_by_side_is_that_of_each_alone(learner: PPO, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    keys = jnp.stack([jax.random.PRNGKey(seed) for seed in range(NUM_SEEDS)])
    states = jit(jax.vmap(learner.init))(keys)
    together = jit(over_seeds(learner.update))(states)
    for seed in range(NUM_SEEDS):
        state, beside = jax.tree.map(lambda leaf, seed=seed: leaf[seed], (states, together))
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), beside, jit(learner.update)(state))
