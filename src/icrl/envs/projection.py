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

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from icrl.envs.environment import Environment
from icrl.envs.picture import Picture
from icrl.envs.spaces import Continuous
from icrl.errors import Problem, SpecError, show
from icrl.fields import PositiveInt, Spec
from icrl.plugins import Registry
from icrl.types import Key, PyTree, Transition


def _identity(outer: int, inner: int, *, key: Key) -> jax.Array:
    del key
    return jnp.eye(outer, inner)


def _sign(outer: int, inner: int, *, key: Key) -> jax.Array:
    sign_key, _ = jax.random.split(key)
    return jnp.eye(outer, inner) * jax.random.rademacher(sign_key, (inner,), dtype=jnp.float32)


def _signed_permutation(outer: int, inner: int, *, key: Key) -> jax.Array:
    _, order_key = jax.random.split(key)
    return _sign(outer, inner, key=key)[jax.random.permutation(order_key, outer)]


def _orthogonal(outer: int, inner: int, *, key: Key) -> jax.Array:
    """Gram-Schmidt of normal columns: the first columns of what `jax.random.orthogonal` draws, to rounding.

    Not by LAPACK: on a CPU two batches of its factorisations at once, as of observations and actions, wait for each
    other's threads for ever (jaxlib 0.10, from some thousand rows on two cores).
    """
    normal = jax.random.normal(key, (outer, outer))

    def add_column(index: jax.Array, columns: jax.Array) -> jax.Array:
        column = normal[:, index]
        for _ in range(2):  # once leaves rounding errors
            column -= (columns * (columns * column[:, None]).sum(0)).sum(1)
        return columns.at[:, index].set(column / jnp.sqrt(jnp.sum(column**2)))

    return jax.lax.fori_loop(0, inner, add_column, jnp.zeros((outer, inner)))


def _gaussian(outer: int, inner: int, *, key: Key) -> jax.Array:
    return jax.random.normal(key, (outer, inner)) / jnp.sqrt(inner)


class Family(NamedTuple):
    """A distribution of matrices that embed ``inner`` coordinates into ``outer`` slots."""

    sample: Callable[..., jax.Array]
    """``sample(outer, inner, key=key)`` draws ``[outer, inner]``, which keeps a unit-size observation at unit size."""
    needs_room: bool = True
    """Whether ``outer >= inner`` is required."""
    action_scale: Callable[[int, int], jax.Array | float] = lambda outer, inner: 1.0
    """What its transpose is to be multiplied by to keep a unit-size action at unit size."""


FAMILIES = {
    "identity": Family(_identity),
    "sign": Family(_sign),
    "signed_permutation": Family(_signed_permutation),
    "orthogonal": Family(_orthogonal),
    "gaussian": Family(_gaussian, needs_room=False, action_scale=lambda outer, inner: jnp.sqrt(inner / outer)),
}
"""The rungs. All but ``gaussian`` have orthonormal columns. To add one: its draw, a line here, its name in `RUNGS`."""


def _lacks(found: Any) -> str:
    """What a family from outside should be instead."""
    return "" if isinstance(found, Family) else "an icrl.envs.projection.Family"


PROJECTIONS = Registry("icrl.projections", FAMILIES, _lacks)

Rung = Annotated[str, PROJECTIONS]
"""A rung of the ladder, or a family from outside icrl."""


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
            SpecError: a family that needs room cannot embed the environment's sizes into the agent's.
        """
        kinds: tuple[Rung, ...] = (self.kind, *self.curriculum) if training else (self.kind,)
        untouched: tuple[Rung, ...] = ("identity",) * len(kinds)
        observation_rungs = kinds if self.project_observation else untouched
        action_rungs = kinds if self.project_action else untouched
        problems = []
        for what, rungs, outer, inner in (
            ("observation", observation_rungs, self.observation_size, environment.observation_size),
            ("action", action_rungs, self.action_size, environment.action_space.size),
        ):
            if outer < inner and any(PROJECTIONS.find(rung).needs_room for rung in rungs):
                expected = f"at least {inner}, the {what} size of {', '.join(environment.tasks)}"
                problems.append(Problem(f"{what}_size", show(outer), expected, "raise it, or choose kind gaussian"))
        if problems:
            raise SpecError(problems)
        pairs = tuple(zip(observation_rungs, action_rungs, strict=True))
        return Projected(environment, self.observation_size, self.action_size, pairs)


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
    rungs: tuple[tuple[Rung, Rung], ...]
    """Of observation and action; an episode draws one pair, evenly."""

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

    @property
    def hidden_size(self) -> int:  # type: ignore[override]
        """That of the environment within: the matrices are none of it."""
        return self.inner.hidden_size

    def hidden(self, task: ProjectedTask) -> Float[Array, " H"]:
        """What the environment within hides."""
        return self.inner.hidden(task.inner)

    @property
    def privileged_size(self) -> int:
        """That of the environment within, and the action matrix."""
        return self.inner.privileged_size + self.inner.action_space.size * self.action_size

    def privileged(self, task: ProjectedTask, state: PyTree) -> Float[Array, " W"]:
        """That of the environment within, which is not projected, and the action matrix."""
        return jnp.concatenate([self.inner.privileged(task.inner, state), task.action_matrix.ravel()])

    def picture(self, task: ProjectedTask, state: PyTree) -> Picture | None:
        """That of the environment within, unprojected."""
        return self.inner.picture(task.inner, state)

    def words(self, task: str) -> str:
        """Those of the environment within."""
        return self.inner.words(task)

    def sample_task(self, index: Int[Array, ""], *, key: Key) -> ProjectedTask:
        """Draws the inner task and both matrices, independently."""
        inner_key, observation_key, action_key, choice_key = jax.random.split(key, 4)
        choices = [self._matrices(*rungs, observation_key, action_key) for rungs in self.rungs]
        chosen = jax.random.randint(choice_key, (), 0, len(choices)) if len(choices) > 1 else 0
        matrices = jax.tree.map(lambda *choices: jnp.stack(choices)[chosen], *choices)
        return ProjectedTask(self.inner.sample_task(index, key=inner_key), *matrices)

    def _matrices(
        self, observation_rung: Rung, action_rung: Rung, observation_key: Key, action_key: Key
    ) -> tuple[jax.Array, jax.Array]:
        """``M_o`` and ``M_a`` of the given rungs."""
        observed, num_actions = self.inner.observation_size, self.inner.action_space.size
        observation, action = PROJECTIONS.find(observation_rung), PROJECTIONS.find(action_rung)
        action_matrix = action.sample(self.action_size, num_actions, key=action_key).T
        action_matrix *= action.action_scale(self.action_size, num_actions)
        return observation.sample(self.observation_size, observed, key=observation_key), action_matrix

    def reset(self, task: ProjectedTask, *, key: Key) -> tuple[PyTree, Float[Array, " O"]]:
        """Resets the inner environment; gives ``M_o x``."""
        state, observation = self.inner.reset(task.inner, key=key)
        return state, task.observation_matrix @ observation

    def step(self, task: ProjectedTask, state: PyTree, action: jax.Array, *, key: Key) -> tuple[PyTree, Transition]:
        """Steps the inner environment with ``M_a a``, or the choice it makes; gives ``M_o x``."""
        projected = self.inner.action_space.nearest(task.action_matrix @ action)
        state, transition = self.inner.step(task.inner, state, projected, key=key)
        return state, transition._replace(observation=task.observation_matrix @ transition.observation)
