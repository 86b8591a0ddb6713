"""A trained agent, loaded to act: in an evaluation, a renderer, a notebook.

```python
agent = icrl.load("meta_brax-s5")
print(agent.play("reacher_spin").mean(axis=0))  # mean return of each trial

environments = agent.environments(["reacher_spin"], num_rows=8)
state, timestep = environments.reset(key=jax.random.PRNGKey(0))
memory = agent.initial_memory(8)
memory, action = agent.act(memory, timestep.observation, timestep.episode_start, key=jax.random.PRNGKey(1))
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from icrl.adaptation import measure
from icrl.distributions import sample_rows
from icrl.envs.multi import Environments
from icrl.errors import UserError, show
from icrl.plugins import search_like
from icrl.policy import Policy
from icrl.runs.checkpoints import Checkpoint
from icrl.runs.directory import run_folder
from icrl.runs.find import find_run
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.parse import parse
from icrl.spec.shipped import existing_path, shipped_agents
from icrl.types import Key, PyTree, keys_of_rows


@dataclass(frozen=True, eq=False)
class Agent:
    """One trained agent and the tasks that its experiment names.

    ``memory, action_B = agent.act(memory, observation_BO, reset_B, key=key)``, one step of B rows at once.
    """

    spec: ExperimentSpec
    """The experiment that trained it."""
    seed: int
    """Which of the experiment's seeds."""
    env_steps: int
    """Env steps of training behind it."""
    policy: Policy
    params: PyTree
    """The policy's parameters."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it was trained on, then those held out."""
        return self.spec.environment.tasks

    def environments(
        self, tasks: Sequence[str] | None = None, num_rows: int | None = None, *, trials: int | None = None
    ) -> Environments:
        """What it can play: episodes of some of its tasks, under projections drawn anew.

        Args:
            tasks: by default all.
            num_rows: episodes side by side, as many of every task; by default one of each.
            trials: of an episode; by default as many as in training.

        Raises:
            UserError: there is no such task, or the rows are not a multiple of the tasks.
        """
        tasks = self.tasks if tasks is None else tuple(tasks)
        if unknown := [task for task in tasks if task not in self.tasks]:
            raise UserError(f"tasks: got {show(unknown)}; expected some of {', '.join(self.tasks)}")
        return self.spec.environment.build(tasks, num_rows or len(tasks), trials_per_episode=trials)

    def play(
        self, task: str, *, episodes: int = 32, trials: int | None = None, seed: int = 0
    ) -> Float[np.ndarray, "B N"]:
        """Returns of whole episodes, by episode and trial; nothing is learned by gradient steps.

        Args:
            task: one of `tasks`.
            episodes: side by side, each under projections of its own.
            trials: of an episode; by default as many as in training.
            seed: determines projections, starts and actions.

        Raises:
            UserError: there is no such task.
        """
        environments = self.environments([task], episodes, trials=trials)
        run = jax.jit(partial(measure, self.policy, environments, sample=self.spec.evaluation.sample_actions))
        return np.asarray(run(self.params, jnp.int32(0), key=jax.random.PRNGKey(seed)).returns)

    def initial_memory(self, batch: int) -> PyTree:
        """Cleared memory for ``batch`` rows."""
        return self.policy.initial_memory(batch)

    def act(
        self, memory: PyTree, observation: Float[Array, "B O"], reset: Bool[Array, " B"], *, key: Key | None = None
    ) -> tuple[PyTree, Shaped[Array, "B ..."]]:
        """The next memory, and the action of every row: a vector, or the index of a choice.

        Args:
            memory: from `initial_memory`, or from the step before.
            observation: as `environments` gives it.
            reset: rows whose memory is cleared before this step: those in which an episode starts.
            key: draws the actions, as in training; by default the likeliest are taken.
        """
        return _act(self.policy, self.params, memory, observation, reset, key)


@partial(jax.jit, static_argnums=0)
def _act(policy: Policy, params: PyTree, memory: PyTree, observation: Array, reset: Array, key: Key | None):
    memory, output = policy.act(params, memory, observation, reset)
    if key is None:
        return memory, output.distribution.mode()
    return memory, sample_rows(output.distribution, key=keys_of_rows(key, jnp.arange(len(reset))))


def load(
    target: str | Path,
    *,
    model: str | None = None,
    seed: int | None = None,
    scale: str | None = None,
    point: str | None = None,
) -> Agent:
    """One trained agent.

    Args:
        target: a run directory, a checkpoint, the name of a shipped agent, or a spec, which means its newest run in
            the present folder's `results/runs`. The newest checkpoint that can be read is taken.
        model: of the spec's run, as are scale and point; by default the spec's own.
        seed: which of the run's seeds; by default its first.
        scale: see model.
        point: see model.

    Raises:
        UserError: there is no such run, or it has no such seed.
        MachineError: no checkpoint of the run can be read.
    """
    path = find_agent(target, model=model, seed=seed, scale=scale, point=point)
    agents = load_agents(Checkpoint.newest(path))
    for agent in agents:
        if seed in (None, agent.seed):
            return agent
    raise UserError(f"seed: got {seed}; expected one of {', '.join(str(agent.seed) for agent in agents)}, as in {path}")


def find_agent(
    target: str | Path,
    *,
    model: str | None = None,
    seed: int | None = None,
    scale: str | None = None,
    point: str | None = None,
) -> Path:
    """Where what `load` takes lies: the run directory or the checkpoint. Args and Raises are those of `load`."""
    path = existing_path(str(target)) or shipped_agents().get(str(target))
    is_one_run = path is not None and path.is_dir()
    return find_run(str(target), model=model, seed=None if is_one_run else seed, scale=scale, point=point)


def load_agents(checkpoint: Checkpoint, spec: ExperimentSpec | None = None) -> list[Agent]:
    """The agents of every seed of a checkpoint.

    Args:
        checkpoint: of a run of `icrl train`.
        spec: the experiment, changed in what leaves its agents as they are; by default as the checkpoint has it.

    Raises:
        UserError: the checkpoint does not fit the spec, or `icrl train` did not make it.
        MachineError: it cannot be read.
    """
    spec = spec or parse(ExperimentSpec, trained_spec(checkpoint))
    environments = spec.environment.build(spec.environment.train, len(spec.environment.train))
    policy = spec.build_policy(environments)

    def fresh(key: Key) -> PyTree:
        observation, reset = jnp.zeros((1, 1, environments.observation_size)), jnp.zeros((1, 1), bool)
        return policy.init(key, policy.initial_memory(1), observation, reset)

    params = checkpoint.params(jax.eval_shape(jax.vmap(fresh), jnp.zeros((spec.num_seeds, 2), jnp.uint32)))
    return [
        Agent(spec, seed, checkpoint.metadata["env_steps"], policy, jax.tree.map(itemgetter(index), params))
        for index, seed in enumerate(spec.seeds)
    ]


def trained_spec(checkpoint: Checkpoint) -> dict[str, Any]:
    """The plain spec that a checkpoint was trained with.

    Raises:
        UserError: `icrl train` did not make the checkpoint.
    """
    env_steps, spec = checkpoint.metadata.get("env_steps"), checkpoint.metadata.get("spec")
    if not isinstance(env_steps, int) or not isinstance(spec, dict):
        raise UserError(
            f"{checkpoint.folder}: got env_steps {show(env_steps)} and spec {show(spec)}; "
            "expected a checkpoint made by `icrl train`"
        )
    search_like(checkpoint.metadata.get("plugins"), run_folder(checkpoint.folder))
    return spec
