"""Muesli (arXiv 2104.06159), the learner of the paper's multi-environment experiment, on-policy and with memory.

A policy gradient is held near the clipped MPO policy of a *prior*, a slowly moving copy of the agent, whose one-step
look-ahead through a learned model values actions. The copy has a memory of its own: it is run beside the agent in every
rollout, so what it says of a step was said with the same history.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Shaped

from icrl.distributions import Distribution, TwoHot, sample_rows
from icrl.envs.multi import Environments
from icrl.envs.spaces import Space
from icrl.errors import Problem, show
from icrl.fields import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, at_least, between
from icrl.learners.learner import Hyperparameters, Learner, Metrics, Trained
from icrl.learners.losses import approximate_kl, cmpo_weights, explained_variance
from icrl.learners.minibatches import over_minibatches
from icrl.learners.returns import next_values, retrace
from icrl.policy import ACTIVATIONS, Policy, PolicyOutput, PolicySpec, distribution_size, to_distribution
from icrl.rollout import Carry, Decision, rollout
from icrl.types import Key, PyTree, Trajectory, split_keys


@dataclass(frozen=True)
class MuesliSpec(Hyperparameters):
    """Hyperparameters of Muesli; the defaults are its authors', or the paper's where that gives them."""

    kind: Literal["muesli"] = "muesli"
    learning_rate: PositiveFloat = 3e-4
    trace: Fraction = 0.95
    """Lambda of Retrace."""
    value_weight: NonNegativeFloat = 1.0
    num_epochs: PositiveInt = 1
    num_minibatches: PositiveInt = 4
    """Row groups per epoch; must divide the number of rows of a task (and of a device's share of them)."""
    num_samples: PositiveInt = 16
    """Actions drawn from the prior at every step, over which its clipped MPO policy is taken."""
    advantage_clip: PositiveFloat = 1.0
    """c: the clipped MPO policy is within ``tanh(c / 2)`` of the prior in total variation."""
    cmpo_weight: NonNegativeFloat = 1.0
    """Lambda of the policy's divergence from the clipped MPO policy; 0 leaves a plain policy gradient."""
    model_weight: NonNegativeFloat = 3.0
    """Of the divergence of the model's policies from the clipped MPO policies of the steps that they predict."""
    reward_weight: NonNegativeFloat = 1.0
    model_steps: PositiveInt = 1
    """K: steps that the model is unrolled for in learning; acting looks one ahead."""
    model_sizes: tuple[PositiveInt, ...] = (128,)
    """Hidden sizes of the model's transition."""
    target_rate: Fraction = 0.1
    """Share of the agent that goes into the prior after every gradient step."""
    advantage_decay: Annotated[float, between(0, 0.9999)] = 0.99
    """Of the moving average of squared advantages, by whose root advantages are divided."""
    reward_range: tuple[float, float] = (-1.0, 1.0)
    """Of the rewards of one step that can be told apart; of values, those of earning either end for ever."""
    num_reward_bins: Annotated[int, at_least(2)] = 21
    num_value_bins: Annotated[int, at_least(2)] = 51

    @property
    def row_groups(self) -> int:
        """The minibatches."""
        return self.num_minibatches

    @property
    def gradient_steps(self) -> int:
        """One a minibatch and epoch."""
        return self.num_epochs * self.num_minibatches

    def problems(self) -> list[Problem]:
        """Bounds, a range in the wrong order, and values without bounds."""
        found = super().problems()
        if self.reward_range[0] >= self.reward_range[1]:
            found.append(Problem("reward_range", show(list(self.reward_range)), "the lower end first"))
        if self.discount == 1:
            found.append(Problem("discount", show(self.discount), "less than 1, since values need bounds"))
        return found

    def support(self, num_bins: int, horizon: float = 1.0) -> TwoHot:
        """Bins over what either end of the rewards' range, scaled, adds up to in so many steps."""
        low, high = self.reward_range
        return TwoHot(self.reward_scale * horizon * low, self.reward_scale * horizon * high, num_bins)

    def network(self, policy: Policy) -> Policy:
        """The policy, its value as a distribution over bins."""
        return policy.clone(value_support=self.support(self.num_value_bins, 1 / (1 - self.discount)))

    def build(self, policy: Policy, environments: Environments, num_updates: int) -> "Muesli":
        """The learner for a policy and a batch of environments."""
        policy = self.network(policy)
        assert policy.value_support, "network gives the policy bins"
        reward = self.support(self.num_reward_bins)
        width = policy.model_spec.width
        model = Model(policy.spec, policy.action_space, width, self.model_sizes, policy.value_support, reward)
        return Muesli(self, policy, environments, num_updates, model=model)


class Prediction(NamedTuple):
    """What the model expects of an action."""

    features: Float[Array, "... H"]
    """Of the step after it, in place of the sequence model's."""
    reward_logits: Float[Array, "... R"]
    value_logits: Float[Array, "... V"]
    """Of the step after it."""
    distribution: Distribution
    """Of actions on the step after it."""


class Model(nn.Module):
    """One step of the environment as the agent's features see it: ``prediction = model(features, action)``."""

    policy: PolicySpec
    action_space: Space
    width: int
    sizes: tuple[int, ...]
    value: TwoHot
    reward: TwoHot

    @nn.compact
    def __call__(self, features: Float[Array, "... H"], action: Shaped[Array, "..."]) -> Prediction:
        """Leading axes of features and action are broadcast against each other."""
        with jax.default_matmul_precision(self.policy.matmul_precision):
            return self._prediction(features, action)

    def _prediction(self, features: jax.Array, action: jax.Array) -> Prediction:
        activate = ACTIVATIONS[self.policy.activation]
        first, *others = (*self.sizes, self.width)
        # Two products instead of one of both: for many actions on a step, that of the features is taken once.
        x = nn.Dense(first, name="features")(features)
        x = activate(x + nn.Dense(first, use_bias=False, name="action")(self.action_space.features(action)))
        for index, size in enumerate(others):
            x = activate(nn.Dense(size, name=f"transition_{index}")(x))
        small = nn.initializers.orthogonal(0.01)
        outputs = nn.Dense(distribution_size(self.action_space), kernel_init=small, name="policy")(x)
        return Prediction(
            features=x,
            reward_logits=nn.Dense(self.reward.num_bins, kernel_init=small, name="reward")(x),
            value_logits=nn.Dense(self.value.num_bins, kernel_init=small, name="value")(x),
            distribution=to_distribution(self.policy, self.action_space, outputs),
        )


class Networks(NamedTuple):
    """The parameters of the policy and of the model that unrolls from its features."""

    policy: PyTree
    model: PyTree


class Agent(NamedTuple):
    """An agent, its prior, and what gradients and advantages are scaled by."""

    params: PyTree
    """The policy's."""
    model: PyTree
    optimizer: PyTree
    prior: Networks
    squared_advantage: Float[Array, ""]
    """A moving average that starts at 0, so it is too small by ``1 - decay^n`` after n updates."""
    num_updates: Int[Array, ""]


class Memory(NamedTuple):
    """Of the agent and of its prior, leaves ``[B, ...]``."""

    agent: PyTree
    prior: PyTree


class PriorStep(NamedTuple):
    """What the prior says of a step, kept in `Trajectory.extras`; its value is the trajectory's."""

    log_prob: Float[Array, "..."]
    """Of the action taken."""
    actions: Shaped[Array, "..."]
    """N of its own."""
    advantage: Float[Array, "..."]
    """Of the action taken over the mean of the prior's own, ``q_prior - mean q_prior``."""
    actions_advantage: Float[Array, "..."]
    """Of its own."""


class Batch(NamedTuple):
    """What an update learns from."""

    row: Int[Array, " B"]
    """As in `Carry`."""
    trajectory: Trajectory
    memory: PyTree
    """The agent's at the rollout's start, leaves ``[B, ...]``."""
    target: Float[Array, "T B"]
    """Retrace's returns, G."""
    next_target: Float[Array, "T B"]
    """Those of the step after; past the end of the episode or rollout, what the prior holds that to be worth."""
    advantage: Float[Array, "T B"]
    """``G - v_prior``, which `Muesli.learn` scales."""
    weights: Float[Array, "T B N"]
    """Advantages of the prior's actions, of which `Muesli.learn` makes their weights in its CMPO policy."""


@dataclass(frozen=True)
class Muesli(Learner):
    """Minibatch steps on every rollout, each followed by the prior."""

    spec: MuesliSpec
    model: Model = field(kw_only=True)

    def initial_memory(self, num_rows: int) -> Memory:
        """The agent's and the prior's."""
        return Memory(self.policy.initial_memory(num_rows), self.policy.initial_memory(num_rows))

    def init_agent(self, carry: Carry, *, key: Key) -> Agent:
        """Fresh networks, and a prior that is the same."""
        policy_key, model_key = jax.random.split(key)
        now = carry.timestep
        policy = self.policy.init(policy_key, carry.memory.agent, now.observation[None], now.episode_start[None])
        model = self.model.init(model_key, jnp.zeros(self.model.width), self.model.action_space.zeros())
        networks = Networks(policy, model)
        return Agent(policy, model, self._optimizer.init(networks), networks, jnp.float32(0), jnp.int32(0))

    def collect(self, agent: Agent, carry: Carry, *, key: Key) -> tuple[Carry, Batch]:
        """Acts for a rollout, with the prior looking on, and computes its targets."""
        spec = self.spec

        def act(memory: Memory, observation: jax.Array, episode_start: jax.Array, key: Key) -> tuple[Memory, Decision]:
            action_key, prior_key = split_keys(key)
            of_agent, output = self.policy.act(agent.params, memory.agent, observation, episode_start)
            of_prior, prior = self.policy.act(agent.prior.policy, memory.prior, observation, episode_start)
            action = sample_rows(output.distribution, key=action_key)
            extras = self._prior_step(agent.prior.model, prior, action, key=prior_key)
            return Memory(of_agent, of_prior), Decision(
                action, output.distribution.log_prob(action), prior.value, extras
            )

        after, steps = rollout(act, self.environments, carry, spec.rollout_steps, key=key)
        now = after.timestep
        _, last = self.policy.act(agent.prior.policy, after.memory.prior, now.observation, now.episode_start)
        target = retrace(
            spec.reward_scale * steps.reward,
            steps.value + steps.extras.advantage,
            next_values(steps.value, last.value, steps.episode_end, steps.bootstrap),
            jnp.exp(steps.extras.log_prob - steps.log_prob),
            steps.episode_end,
            discount=spec.discount,
            trace=spec.trace,
        )
        return after, Batch(
            row=carry.row,
            trajectory=steps,
            memory=carry.memory.agent,
            target=target,
            next_target=next_values(target, last.value, steps.episode_end, steps.bootstrap),
            advantage=target - steps.value,
            weights=steps.extras.actions_advantage,
        )

    def _prior_step(self, params: PyTree, prior: PolicyOutput, action: jax.Array, *, key: Key) -> PriorStep:
        """``q_prior(s, a) = r(s, a) + discount v(s, a)``, one step through the model (Muesli, section 4.4).

        Advantages are over the mean of q of the prior's own actions. The value head errs otherwise than the model, and
        the difference would add up in Retrace's returns, ``1 / (1 - discount trace)`` times.
        """

        def q(features: jax.Array, action: jax.Array) -> jax.Array:
            expected: Any = self.model.apply(params, features, action)
            return self.model.reward.decode(expected.reward_logits) + self.spec.discount * self.model.value.decode(
                expected.value_logits
            )

        repeated = jax.tree.map(lambda x: jnp.repeat(x[:, None], self.spec.num_samples, axis=1), prior.distribution)
        actions = sample_rows(repeated, key=key)
        actions_q = q(prior.features[:, None], actions)
        mean = jnp.mean(actions_q, axis=-1)
        return PriorStep(
            log_prob=prior.distribution.log_prob(action),
            actions=actions,
            advantage=q(prior.features, action) - mean,
            actions_advantage=actions_q - mean[:, None],
        )

    def learn(self, agent: Agent, batch: Batch, *, key: Key) -> tuple[Agent, Metrics]:
        """Steps on the minibatches of every epoch; metrics are means over them all."""
        spec, steps = self.spec, batch.trajectory
        squared = self._average(jnp.mean(jnp.square(batch.advantage)))
        squared = spec.advantage_decay * agent.squared_advantage + (1 - spec.advantage_decay) * squared
        num_updates = agent.num_updates + 1
        scale = jnp.sqrt(squared / (1 - spec.advantage_decay**num_updates) + 1e-12)
        batch = batch._replace(
            advantage=batch.advantage / scale, weights=cmpo_weights(batch.weights / scale, spec.advantage_clip)
        )

        def step(agent: tuple[Trained, PyTree], batch: Batch) -> tuple[tuple[Trained, PyTree], Metrics]:
            trained, metrics = self.gradient_step(agent[0], batch)
            return (trained, optax.incremental_update(trained.params, agent[1], spec.target_rate)), metrics

        (trained, prior), metrics = over_minibatches(
            step,
            (Trained(self.trainable(agent), agent.optimizer), agent.prior),
            batch,
            num_epochs=spec.num_epochs,
            num_minibatches=spec.num_minibatches,
            key=key,
        )
        first = self._over_devices(jax.lax.pmax, metrics.pop("ratio_error")[0, 0])
        whole = {
            "kl_to_prior": jnp.mean(steps.log_prob - steps.extras.log_prob),
            **jax.tree.map(jnp.mean, metrics),
        }
        policy, model = trained.params
        return Agent(policy, model, trained.optimizer, prior, squared, num_updates), self._average(whole) | {
            "first_ratio_error": first,
            "advantage_scale": scale,
            "explained_variance": explained_variance(steps.value, batch.target, self._average),
        }

    def loss(self, params: Networks, batch: Batch) -> tuple[jax.Array, Metrics]:
        """Muesli's loss of some rows, replayed from their stored memory (equations 9, 10 and 13)."""
        spec, steps = self.spec, batch.trajectory
        _, output = self.policy.run(params.policy, batch.memory, steps.observation, steps.episode_start)
        assert output.value_logits is not None, "MuesliSpec.network gives the policy bins"
        log_ratio = output.distribution.log_prob(steps.action) - steps.log_prob
        value_loss = jnp.mean(self.model.value.cross_entropy(output.value_logits, batch.target))
        terms = {
            "policy_loss": -jnp.mean(jnp.exp(log_ratio) * batch.advantage),
            "cmpo_loss": jnp.mean(_divergence(output.distribution, batch.weights, steps.extras.actions)),
            **self._model_losses(params.model, output.features, batch),
        }
        terms["value_loss"] += value_loss
        total = (
            terms["policy_loss"]
            + spec.cmpo_weight * terms["cmpo_loss"]
            + spec.model_weight * terms["model_loss"]
            + spec.value_weight * terms["value_loss"]
            + spec.reward_weight * terms["reward_loss"]
        )
        return total, terms | {
            "loss": total,
            "entropy": jnp.mean(output.distribution.entropy()),
            "approximate_kl": approximate_kl(log_ratio),
            "ratio_error": jnp.max(jnp.abs(jnp.expm1(log_ratio))),
        }

    def _model_losses(self, params: PyTree, features: Float[Array, "T B H"], batch: Batch) -> Metrics:
        """Losses of what the model predicts of steps t+1 .. t+K from the features of step t and the actions since.

        What the rollout did not see, past its end or an episode's, counts as 0.
        """
        spec, steps = self.spec, batch.trajectory
        reward = spec.reward_scale * steps.reward
        after_TB = jnp.arange(len(reward))[:, None]
        seen_TB = jnp.ones(reward.shape)
        losses: Metrics = dict.fromkeys(("model_loss", "value_loss", "reward_loss", "reward_error"), jnp.float32(0))
        for k in range(spec.model_steps):
            later = lambda x, k=k: jnp.roll(x, -k, axis=0)  # noqa: E731
            expected: Any = self.model.apply(params, features, later(steps.action))
            next_seen_TB = seen_TB * ~later(steps.episode_end) * (after_TB < len(reward) - k - 1)
            next_later = lambda x, k=k: jnp.roll(x, -k - 1, axis=0)  # noqa: E731
            of_step = {
                "model_loss": next_seen_TB
                * _divergence(expected.distribution, next_later(batch.weights), next_later(steps.extras.actions)),
                "value_loss": seen_TB * self.model.value.cross_entropy(expected.value_logits, later(batch.next_target)),
                "reward_loss": seen_TB * self.model.reward.cross_entropy(expected.reward_logits, later(reward)),
                "reward_error": seen_TB * jnp.abs(self.model.reward.decode(expected.reward_logits) - later(reward)),
            }
            losses = {name: losses[name] + jnp.mean(of_step[name]) / spec.model_steps for name in losses}
            features, seen_TB = expected.features, next_seen_TB
        return losses

    def trainable(self, agent: Agent) -> Networks:
        """Policy and model."""
        return Networks(agent.params, agent.model)

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        """Adam, whose step is clipped element by element before the learning rate (Muesli, appendix)."""
        return optax.chain(optax.scale_by_adam(), optax.clip(1.0), optax.scale_by_learning_rate(self._learning_rate))


def _divergence(
    distribution: Distribution, weights_TBN: Float[Array, "T B N"], actions: Shaped[Array, "T B N ..."]
) -> Float[Array, "T B"]:
    """``KL(pi_CMPO, pi)`` but for a constant, from weighted actions of the prior (Muesli, equation 11)."""
    log_prob_TBN = jax.tree.map(lambda x: x[:, :, None], distribution).log_prob(actions)
    return -jnp.mean(weights_TBN * log_prob_TBN, axis=-1)
