"""The agent's network: where it starts, what bounds its exploration, and that it remembers."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.distributions import Categorical, Normal
from icrl.envs.spaces import Continuous, Discrete, Space
from icrl.errors import SpecError
from icrl.models import GRUSpec, LSTMSpec, S5Spec, TransformerSpec
from icrl.policy import Policy, PolicySpec
from icrl.types import PyTree
from tests.quick import jit

T, B = 4, 3
MODEL = GRUSpec(width=8)
SPEC = PolicySpec(encoder=(6,), heads=(7,), initial_std=0.7, min_std=0.05)
OBSERVATION = np.random.default_rng(0).normal(size=(T, B, 5)).astype(np.float32)
NEVER = np.zeros((T, B), bool)


@cache
def fresh(spec: PolicySpec, space: Space) -> tuple[Policy, PyTree]:
    policy = spec.build(MODEL, space)
    init = jit(policy.init)
    return policy, init(jax.random.key(0, impl="rbg"), policy.initial_memory(B), OBSERVATION, NEVER)


def apply(policy: Policy, params: PyTree, observation=OBSERVATION, reset=NEVER):
    return jit(policy.apply)(params, policy.initial_memory(B), observation, reset)


def test_continuous_actions_start_near_zero_with_the_initial_spread():
    policy, params = fresh(SPEC, Continuous(2))
    memory, (distribution, value, features, _, privileged_value) = apply(policy, params)
    assert isinstance(distribution, Normal)
    assert distribution.mean.shape == distribution.log_std.shape == (T, B, 2)
    assert value.shape == (T, B) and privileged_value is None
    assert features.shape == (T, B, MODEL.width)
    assert jax.tree.map(jnp.shape, memory) == jax.tree.map(jnp.shape, policy.initial_memory(B))
    assert np.max(np.abs(distribution.mean)) < 0.05
    np.testing.assert_allclose(np.exp(distribution.log_std), 0.7, rtol=0.05)


def test_discrete_actions_start_nearly_uniform():
    _, (distribution, *_) = apply(*fresh(SPEC, Discrete(3)))
    assert isinstance(distribution, Categorical)
    assert distribution.logits.shape == (T, B, 3)
    np.testing.assert_allclose(jax.nn.softmax(distribution.logits), 1 / 3, atol=0.02)


def test_values_start_at_the_scale_asked_for():
    """The kernel of the value's last layer is orthogonal: here a vector, whose length is the scale."""
    for scale in (1.0, 0.01):
        _, params = fresh(replace(SPEC, value_scale=scale), Discrete(3))
        np.testing.assert_allclose(np.linalg.norm(params["params"]["value"]["kernel"]), scale, rtol=1e-5)


@pytest.mark.parametrize("state_dependent", [True, False])
def test_spread_stays_above_its_minimum_whatever_the_parameters(state_dependent: bool):
    policy, params = fresh(replace(SPEC, state_dependent_std=state_dependent), Continuous(2))
    shrunk = jax.tree.map(lambda leaf: leaf - 50.0, params)
    _, (distribution, *_) = apply(policy, shrunk)
    assert np.all(np.exp(distribution.log_std) >= 0.05 - 1e-6)


def test_spread_depends_on_the_state_only_if_asked():
    for state_dependent in (True, False):
        policy, params = fresh(replace(SPEC, state_dependent_std=state_dependent), Continuous(2))
        _, (distribution, *_) = apply(policy, jax.tree.map(lambda leaf: leaf + 0.3, params))
        varies = np.ptp(np.asarray(distribution.log_std), axis=(0, 1)) > 1e-4
        assert np.all(varies == state_dependent)


def test_layers_have_the_sizes_of_the_spec():
    _, params = fresh(SPEC, Continuous(2))
    shapes = {name: layer["kernel"].shape for name, layer in params["params"].items() if "kernel" in layer}
    assert shapes == {
        "encoder_0": (5, 6),
        "encoder_1": (6, 8),
        "action_0": (8, 7),
        "action": (7, 4),
        "value_0": (8, 7),
        "value": (7, 1),
    }


def test_every_product_has_the_precision_asked_for_backwards_too():
    for model in (S5Spec(width=8, state_size=8), GRUSpec(width=8), LSTMSpec(width=8), TransformerSpec(width=8)):
        for precision in ("default", "highest"):
            policy = replace(SPEC, matmul_precision=precision).build(model, Continuous(2))
            memory = policy.initial_memory(B)
            params = jax.eval_shape(policy.init, jax.random.key(0), memory, OBSERVATION, NEVER)

            def value(params, policy=policy, memory=memory):
                return policy.apply(params, memory, *map(jnp.asarray, (OBSERVATION, NEVER)))[1].value.sum()

            program = str(jax.make_jaxpr(jax.grad(value))(params))
            products = program.count("dot_general[")
            assert products > 10 and program.count(f"precision=(Precision.{precision.upper()},") == products


def test_value_and_action_depend_on_what_came_before_unless_reset():
    policy, params = fresh(SPEC, Continuous(2))
    other = OBSERVATION.copy()
    other[0] += 1
    restart = NEVER.copy()
    restart[1] = True
    for reset, same in ((NEVER, False), (restart, True)):
        _, (distribution, value, *_) = apply(policy, params, reset=reset)
        _, (other_distribution, other_value, *_) = apply(policy, params, other, reset)
        assert np.all((value == other_value)[1:] == same)
        assert np.all(np.all(distribution.mean == other_distribution.mean, -1)[1:] == same)


@pytest.mark.parametrize(("min_std", "expected"), [(0.0, "above 0"), (0.7, "below initial_std = 0.7")])
def test_a_spread_that_cannot_be_is_refused(min_std: float, expected: str):
    with pytest.raises(SpecError) as error:
        replace(SPEC, min_std=min_std)
    assert str(error.value) == f"min_std: got {min_std}; expected {expected}"


@pytest.mark.parametrize("field", ["encoder", "heads"])
def test_layers_without_units_are_refused(field: str):
    with pytest.raises(SpecError) as error:
        replace(SPEC, **{field: (8, 0)})
    assert str(error.value) == f"{field}[1]: got 0; expected at least 1"
