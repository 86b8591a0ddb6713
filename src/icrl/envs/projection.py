"""Random linear projections of observations and actions: what hides the task from the agent (paper, algorithm 1).

The agent sees ``M_o x`` of size O and acts with a vector of size A, of which the environment receives ``M_a a``, or,
where its actions are choices, the index of the largest coordinate of ``M_a a``.
Both matrices are drawn with the task and fixed for the episode. The paper does not give their distribution; the
choices here form a ladder of difficulty, easiest first:

    identity            no projection: x is padded with zeros to O, the first coordinates of a are used
    sign                identity with every coordinate's sign drawn at random
    signed_permutation  sign, and the coordinates land on a random subset of the O (or A) slots
    orthogonal          a random isometry: uniformly drawn orthonormal columns (rows, for actions)
    gaussian            independent normal entries (the paper's wording, "random linear projection")

Scales keep a unit-size input at unit size: ``E|M_o x|^2 / O = |x|^2 / n`` for the Gaussian observation matrix, entries
``N(0, 1/n)`` with n the environment's size; ``E (M_a a)_i^2 = |a|^2 / A``, entries ``N(0, 1/A)``.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from icrl.envs.environment import Environment
from icrl.envs.spaces import Continuous, Discrete
from icrl.errors import Problem, SpecError, show
from icrl.fields import PositiveInt, Spec
from icrl.types import Key, PyTree, Transition

Rung = Literal["identity", "sign", "signed_permutation", "orthogonal", "gaussian"]
RUNGS: tuple[Rung, ...] = get_args(Rung)


@dataclass(frozen=True)
class ProjectionSpec(Spec):
    """How tasks are hidden from the agent."""

    kind: Rung = "gaussian"
    """Rung of the ladder, for observations and actions."""
    observation_size: PositiveInt = 12
    """O, what the agent observes of the environment."""
    action_size: PositiveInt = 2
    """A, what the agent acts with."""
    project_observation: bool = True
    """False: identity for observations, whatever the kind."""
    project_action: bool = True
    """False: identity for actions, whatever the kind."""
    curriculum: tuple[Rung, ...] = ()
    """Other rungs that training mixes in: each episode is seen through ``kind`` or one of these, drawn evenly."""

    def problems(self) -> list[Problem]:
        """Bounds, and rungs named twice."""
        found = super().problems()
        if len({self.kind, *self.curriculum}) <= len(self.curriculum):
            expected = f"rungs other than kind = {self.kind}, each once"
            found.append(Problem("curriculum", show(list(self.curriculum)), expected))
        return found

    @property
    def rung(self) -> str:
        """The rung of observations and actions, as `observation/action` where they differ."""
        observation = self.kind if self.project_observation else "identity"
        action = self.kind if self.project_action else "identity"
        return observation if observation == action else f"{observation}/{action}"

    def build(self, environment: Environment, *, training: bool = False) -> "Projected":
        """The environment seen through projections of this kind; in training, of the curriculum's also.

        Raises:
            SpecError: a rung other than ``gaussian`` cannot embed the environment's sizes into the agent's.
        """
        kinds: tuple[Rung, ...] = (self.kind, *self.curriculum) if training else (self.kind,)
        untouched: tuple[Rung, ...] = ("identity",) * len(kinds)
        rungs = {
            "observation": kinds if self.project_observation else untouched,
            "action": kinds if self.project_action else untouched,
        }
        sizes = {
            "observation": (self.observation_size, environment.observation_size),
            "action": (self.action_size, environment.action_space.size),
        }
        for what, (outer, inner) in sizes.items():
            if set(rungs[what]) != {"gaussian"} and outer < inner:
                raise SpecError.of(
                    f"{what}_size",
                    got=outer,
                    expected=f"at least {inner}, the {what} size of {', '.join(environment.tasks)}",
                    advice="raise it, or choose kind gaussian",
                )
        (observation_rung, *_), (action_rung, *_) = pairs = tuple(rungs.values())
        others = tuple(zip(*pairs, strict=True))[1:]
        return Projected(environment, self.observation_size, self.action_size, observation_rung, action_rung, others)


def sample_embedding(rung: Rung, outer: int, inner: int, *, key: Key) -> Float[Array, "{outer} {inner}"]:
    """Draws a matrix that embeds ``inner`` coordinates into ``outer`` slots.

    For the Gaussian rung entries have variance ``1 / inner``; every other rung has orthonormal columns and needs
    ``outer >= inner``.
    """
    if rung == "gaussian":
        return jax.random.normal(key, (outer, inner)) / jnp.sqrt(inner)
    identity = jnp.eye(outer, inner)
    if rung == "identity":
        return identity
    if rung == "orthogonal":
        return jax.random.orthogonal(key, outer)[:, :inner]
    sign_key, order_key = jax.random.split(key)
    signed = identity * jax.random.rademacher(sign_key, (inner,), dtype=jnp.float32)
    if rung == "sign":
        return signed
    return signed[jax.random.permutation(order_key, outer)]


class ProjectedTask(NamedTuple):
    """A task and the pair of matrices it is seen through."""

    inner: PyTree
    observation_matrix: Float[Array, "O n"]
    """``M_o``."""
    action_matrix: Float[Array, "m A"]
    """``M_a``."""


@dataclass(frozen=True)
class Projected(Environment):
    """Any environment, seen through random projections: what the agent sends is a vector in any case."""

    inner: Environment
    observation_size: int
    action_size: int
    observation_rung: Rung = "gaussian"
    action_rung: Rung = "gaussian"
    other_rungs: tuple[tuple[Rung, Rung], ...] = ()
    """Further pairs of rungs; an episode draws one pair of all, evenly."""

    @property
    def tasks(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the environment within."""
        return self.inner.tasks

    @property
    def max_trial_steps(self) -> int | None:  # type: ignore[override]
        """That of the environment within."""
        return self.inner.max_trial_steps

    @property
    def action_space(self) -> Continuous:  # type: ignore[override]
        """A real numbers."""
        return Continuous(self.action_size)

    def sample_task(self, index: Int[Array, ""], *, key: Key) -> ProjectedTask:
        """Draws the inner task and both matrices, independently."""
        inner_key, observation_key, action_key = jax.random.split(key, 3)
        matrices = self._matrices(self.observation_rung, self.action_rung, observation_key, action_key)
        if self.other_rungs:
            others = [self._matrices(*rungs, observation_key, action_key) for rungs in self.other_rungs]
            chosen = jax.random.randint(jax.random.fold_in(key, len(others)), (), 0, 1 + len(others))
            matrices = jax.tree.map(lambda *choices: jnp.stack(choices)[chosen], matrices, *others)
        return ProjectedTask(self.inner.sample_task(index, key=inner_key), *matrices)

    def _matrices(
        self, observation_rung: Rung, action_rung: Rung, observation_key: Key, action_key: Key
    ) -> tuple[jax.Array, jax.Array]:
        """``M_o`` and ``M_a`` of the given rungs."""
        num_actions = self.inner.action_space.size
        embed_action = sample_embedding(action_rung, self.action_size, num_actions, key=action_key)
        if action_rung == "gaussian":  # entries N(0, 1/A): unit-variance actions stay unit-variance
            embed_action *= jnp.sqrt(num_actions / self.action_size)
        observed = self.inner.observation_size
        return sample_embedding(observation_rung, self.observation_size, observed, key=observation_key), embed_action.T

    def reset(self, task: ProjectedTask, *, key: Key) -> tuple[PyTree, Float[Array, " O"]]:
        """Resets the inner environment; gives ``M_o x``."""
        state, observation = self.inner.reset(task.inner, key=key)
        return state, task.observation_matrix @ observation

    def step(self, task: ProjectedTask, state: PyTree, action: jax.Array, *, key: Key) -> tuple[PyTree, Transition]:
        """Steps the inner environment with ``M_a a``, or the choice it makes; gives ``M_o x``."""
        projected = task.action_matrix @ action
        if isinstance(self.inner.action_space, Discrete):
            projected = jnp.argmax(projected)
        state, transition = self.inner.step(task.inner, state, projected, key=key)
        return state, transition._replace(observation=task.observation_matrix @ transition.observation)
