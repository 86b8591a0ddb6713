"""The agent: encoder, sequence model, action distribution and value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from icrl.distributions import Categorical, Distribution, Normal, TwoHot
from icrl.envs.spaces import Discrete, Space
from icrl.errors import Problem, show
from icrl.fields import PositiveFloat, PositiveInt, Spec
from icrl.models import ModelSpec
from icrl.types import PyTree

MatmulPrecision = Literal["default", "high", "highest"]

Privileged = Float[Array, "*T B W"] | tuple[()]
"""As in `Timestep`: shown to a privileged critic, or nothing."""

ACTIVATIONS = {"gelu": nn.gelu, "leaky_relu": nn.leaky_relu, "relu": nn.relu, "tanh": nn.tanh}


@dataclass(frozen=True)
class PolicySpec(Spec):
    """Everything of the network but its sequence model."""

    encoder: tuple[PositiveInt, ...] = (64,)
    """Sizes of the dense layers before the sequence model; a last one to the model's width is added."""
    heads: tuple[PositiveInt, ...] = (64,)
    """Hidden sizes of the action head and of the value head, each."""
    activation: Literal["gelu", "leaky_relu", "relu", "tanh"] = "gelu"
    value_scale: PositiveFloat = 1.0
    """Scale of the value's last layer at the start. A small one starts values near 0, and so advantages at returns."""
    initial_std: PositiveFloat = 0.7
    """Standard deviation of continuous actions at the start."""
    min_std: PositiveFloat = 0.05
    """Standard deviations never fall below this, so that exploration and densities stay finite."""
    matmul_precision: MatmulPrecision = "highest"
    """Of the network's matrix products, backwards too: ``highest`` is float32 on any device. On NVIDIA's GPUs
    ``default`` rounds their inputs to TensorFloat-32 (10 bits after the point) and is several times as fast; a CPU
    knows only one. Everything else, physics and projections, is computed in float32."""
    state_dependent_std: bool = True
    """Let the network choose the standard deviation at every step: explore first, exploit later."""

    def problems(self) -> list[Problem]:
        """Bounds, and standard deviations in the wrong order."""
        found = super().problems()
        if self.min_std >= self.initial_std:
            found.append(Problem("min_std", show(self.min_std), f"below initial_std = {self.initial_std}"))
        return found

    def build(self, model: ModelSpec, action_space: Space, *, privileged_size: int = 0) -> "Policy":
        """The network for a sequence model and an action space, and for as much as a privileged critic is shown."""
        return Policy(self, model, action_space, privileged_size=privileged_size)


class PolicyOutput(NamedTuple):
    """What the network says at every step; `Policy.act` gives one step, without the axis T."""

    distribution: Distribution
    """Of actions, leaves ``[T, B, ...]``."""
    value: Float[Array, "*T B"]
    features: Float[Array, "*T B H"]
    """The sequence model's output, which the heads read, and what a learner unrolls from it."""
    value_logits: Float[Array, "*T B K"] | None = None
    """Of the value's bins, where it is learned as a distribution."""
    privileged_value: Float[Array, "*T B"] | None = None
    """What a privileged critic says, where it was shown what is hidden."""

    @property
    def baseline(self) -> Float[Array, "*T B"]:
        """What advantages are measured against: the privileged critic's value, or else the agent's own."""
        return self.value if self.privileged_value is None else self.privileged_value


class Policy(nn.Module):
    """``memory, output = policy(memory, observation_TBO, reset_TB)``.

    One sequence model feeds both heads, so its work is done once.
    """

    spec: PolicySpec
    model_spec: ModelSpec
    action_space: Space
    value_support: TwoHot | None = None
    """Bins, for a learner that learns the value as a distribution over them."""
    privileged_size: int = 0
    """Length of what a privileged critic is shown; 0: there is none."""

    @nn.nowrap
    def initial_memory(self, batch: int) -> PyTree:
        """Cleared memory for ``batch`` rows."""
        return self.model_spec.build().initial_state(batch)

    @nn.nowrap
    def run(
        self,
        params: PyTree,
        memory: PyTree,
        observation: Float[Array, "T B O"],
        reset: Bool[Array, "T B"],
        privileged: Privileged = (),
    ) -> tuple[PyTree, PolicyOutput]:
        """The policy with given parameters."""
        return self.apply(params, memory, observation, reset, privileged)  # type: ignore[return-value]

    @nn.nowrap
    def act(
        self,
        params: PyTree,
        memory: PyTree,
        observation: Float[Array, "B O"],
        reset: Bool[Array, " B"],
        privileged: Privileged = (),
    ) -> tuple[PyTree, PolicyOutput]:
        """`run` for one step."""
        steps = jax.tree.map(lambda leaf: leaf[None], (observation, reset, privileged))
        memory, output = self.run(params, memory, *steps)
        return memory, jax.tree.map(lambda leaf: leaf[0], output)

    @nn.compact
    def __call__(
        self,
        memory: PyTree,
        observation: Float[Array, "T B O"],
        reset: Bool[Array, "T B"],
        privileged: Privileged = (),
    ) -> tuple[PyTree, PolicyOutput]:
        """Consumes a sequence; gives the new memory and what it says at every step."""
        with jax.default_matmul_precision(self.spec.matmul_precision):
            memory, output = self._output(memory, observation, reset)
            if self.privileged_size and self.is_initializing():
                privileged = jnp.zeros((*reset.shape, self.privileged_size))
            if not isinstance(privileged, tuple):
                output = output._replace(privileged_value=self._judge(output.features, privileged))
            return memory, output

    def _judge(self, features: jax.Array, privileged: jax.Array) -> jax.Array:
        """The privileged critic's value. It reads the agent's memory, and what it learns does not change that."""
        x = jnp.concatenate([jax.lax.stop_gradient(features), privileged], axis=-1)
        return self._head("critic", x, 1, self.spec.encoder, scale=self.spec.value_scale)[..., 0]

    def _output(self, memory: PyTree, observation: jax.Array, reset: jax.Array) -> tuple[PyTree, PolicyOutput]:
        x = observation
        for index, size in enumerate((*self.spec.encoder, self.model_spec.width)):
            x = self._activate(nn.Dense(size, name=f"encoder_{index}")(x))
        memory, y = self.model_spec.build(name="model")(memory, x, reset)
        distribution = self._distribution(y)
        if self.value_support is None:
            value = self._head("value", y, 1, self.spec.heads, scale=self.spec.value_scale)[..., 0]
            return memory, PolicyOutput(distribution, value, y)
        logits = self._head("value", y, self.value_support.num_bins, self.spec.heads, scale=0.01)
        return memory, PolicyOutput(distribution, self.value_support.decode(logits), y, logits)

    def _distribution(self, y: jax.Array) -> Distribution:
        size = distribution_size(self.action_space)
        if isinstance(self.action_space, Discrete) or self.spec.state_dependent_std:
            outputs = self._head("action", y, size, self.spec.heads, scale=0.01)
            return to_distribution(self.spec, self.action_space, outputs)
        mean = self._head("action", y, size // 2, self.spec.heads, scale=0.01)
        std = jnp.broadcast_to(self.param("std", nn.initializers.zeros, (size // 2,)), mean.shape)
        return to_distribution(self.spec, self.action_space, jnp.concatenate([mean, std], axis=-1))

    def _head(self, name: str, y: jax.Array, size: int, hidden: Sequence[int], *, scale: float) -> jax.Array:
        for index, width in enumerate(hidden):
            y = self._activate(nn.Dense(width, name=f"{name}_{index}")(y))
        return nn.Dense(size, kernel_init=nn.initializers.orthogonal(scale), name=name)(y)

    def _activate(self, x: jax.Array) -> jax.Array:
        return ACTIVATIONS[self.spec.activation](x)


def distribution_size(space: Space) -> int:
    """How many numbers describe a distribution over the actions of a space."""
    return space.size if isinstance(space, Discrete) else 2 * space.size


def to_distribution(spec: PolicySpec, space: Space, outputs: Float[Array, "... D"]) -> Distribution:
    """The distribution over a space's actions that a head's outputs stand for; near zero, the initial one."""
    if isinstance(space, Discrete):
        return Categorical(outputs)
    mean, std = jnp.split(outputs, 2, axis=-1)
    excess = jnp.log(jnp.expm1(spec.initial_std - spec.min_std))
    return Normal(mean, jnp.log(spec.min_std + nn.softplus(std + excess)))
