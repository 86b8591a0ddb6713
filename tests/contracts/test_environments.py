"""The contract of environments: icrl's own keep it, and what breaks it is told how."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.contracts.environments import examine_suite
from icrl.envs.environment import Environment
from icrl.envs.spaces import Continuous, Space
from icrl.envs.suites import SUITES, Suite
from icrl.types import Key, Transition


@pytest.mark.parametrize(
    ("suite", "tasks"),
    [
        (SUITES["bsuite"], ("memory_length_4", "memory_length_16")),
        (SUITES["cartpole"], None),
        (SUITES["popgym"], ("repeat_first_easy", "stateless_pendulum_easy", "mine_sweeper_easy")),
    ],
    ids=["bsuite", "cartpole", "popgym"],
)
def test_the_environments_keep_the_contract(suite: Suite, tasks: tuple[str, ...] | None):
    findings = examine_suite(suite, tasks)
    assert len(findings) > 9
    assert [finding for finding in findings if finding.broken] == []


DRAWN = np.random.default_rng(0)
ONE = Continuous(1)


@dataclass(frozen=True)
class Walk(Environment):
    """A point on a line that is pushed towards the right, or the left; faulty where told so."""

    tasks: tuple[str, ...] = ("right", "left")
    fault: str = ""
    action_space: Space = ONE
    observation_size = 1

    @property
    def max_trial_steps(self) -> int | None:  # type: ignore[override]
        return 5 if self.fault == "endless" else None

    def sample_task(self, index: jax.Array, *, key: Key) -> jax.Array:
        if self.fault == "index":
            return 1.0 - 2.0 * index
        return jnp.array([{"right": 1.0, "left": -1.0}[task] for task in self.tasks])[index]

    def hidden(self, task: jax.Array) -> jax.Array:
        return task[None] if self.fault == "unsaid" else jnp.zeros(0)

    def reset(self, task: jax.Array, *, key: Key) -> tuple[jax.Array, jax.Array]:
        start = jax.random.uniform(key)
        if self.fault == "integer state":
            return jnp.int32(0), start[None]
        return start, start[None]

    def step(self, task: jax.Array, state: jax.Array, action: jax.Array, *, key: Key) -> tuple[jax.Array, Transition]:
        push = action[0] if self.fault == "unclipped" else jnp.clip(action[0], -1.0, 1.0)
        noise = float(DRAWN.normal()) if self.fault == "numpy" else 0.0
        state = state + 0.1 * push + noise
        reward = jnp.log(-state) if self.fault == "log" else task * state
        end = jnp.ones((), bool) if self.fault == "both" else jnp.zeros((), bool)
        observation = jnp.stack([state, state]) if self.fault == "longer" else state[None]
        return state, Transition(observation, reward, end, 0.0 if self.fault == "float flag" else end)


def suite_of(fault: str) -> Suite:
    def build(tasks: Sequence[str]) -> tuple[Environment, ...]:
        return (Walk(("right", "left") if fault == "all" else tuple(tasks), fault),)

    return Suite(("right", "left"), build)


@pytest.mark.parametrize(
    ("fault", "promise", "how"),
    [
        ("longer", "Observations are float32", "step's observation is float32[2]; expected float32[1]"),
        ("unsaid", "Observations are float32", "what is hidden is float32[1]; expected float32[0]"),
        ("float flag", "Observations are float32", "truncated is float32[]; expected bool[]"),
        ("integer state", "Observations are float32", "the state was int32[] and is float32[] after a step"),
        ("log", "Observations and rewards are finite", "rewards are not"),
        ("both", "A step never both", "one did"),
        ("numpy", "The same keys and actions", "traced again (draw with the key alone"),
        ("unclipped", "Continuous actions beyond", "of actions up to 3, what is seen: got "),
        ("endless", "Where max_trial_steps is set", "some go on after 5 steps"),
        ("index", "A task is the same alone", "what left shows alone: got "),
        (
            "all",
            "A task is the same alone",
            "for right alone, the suite builds [('right', 'left')]",
        ),
    ],
)
def test_a_broken_part_is_named_with_how_it_is_broken(fault: str, promise: str, how: str):
    findings = examine_suite(suite_of(fault))
    broken = [finding for finding in findings if finding.broken]
    (found,) = [finding.broken for finding in broken if finding.promise.startswith(promise)]
    assert how in found
    assert broken[0].broken == found, "what follows from a broken part is not told before it"
    if promise.startswith("Observations are"):
        assert findings[-1] is broken[0], "without it nothing else is tried"


def test_a_suite_that_cannot_be_built_is_told_why():
    def build(tasks: Sequence[str]) -> tuple[Environment, ...]:
        raise ValueError("no such body")

    (finding,) = examine_suite(Suite(("right",), build))
    assert finding.broken == "ValueError: no such body"
    assert [f.broken for f in examine_suite(suite_of("")) if f.broken] == []
