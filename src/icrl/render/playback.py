"""One episode, played step by step by a trained agent, with all that a person wants to see of it."""

from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np

from icrl.agent import Agent
from icrl.envs.picture import Picture
from icrl.errors import UserError


@dataclass(frozen=True, eq=False)
class PlayedTrial:
    """One trial; at index t stand what was there before the action, the action, and what it earned."""

    number: int
    """Of its episode, from 1."""
    agent: str
    """Who played it."""
    pictures: tuple[Picture | None, ...]
    observation: np.ndarray
    """``[T, O]``: what the agent saw."""
    action: np.ndarray
    """``[T, A]``: what it did, a choice as one-hot."""
    reward: np.ndarray
    """``[T]``"""

    @cached_property
    def returns(self) -> np.ndarray:
        """``[T]``: return up to and including each step."""
        return np.cumsum(self.reward)


@dataclass(frozen=True, eq=False)
class PlayedEpisode:
    """All trials of one episode."""

    task: str
    words: str
    """What the task rewards, to complete "rewarded for"; "" if nobody has said it."""
    rung: str
    """Family of the projections; "" without."""
    shown_size: int
    """How many of the observation's numbers come from the environment; the others are reward, flags and action."""
    trials: tuple[PlayedTrial, ...]


def play(agent: Agent, task: str, *, name: str, trials: int | None = None, episode: int = 0) -> PlayedEpisode:
    """Plays one episode; agents given the same arguments meet the same projections and starts.

    Args:
        agent: who plays.
        task: one of the agent's.
        name: what the player is called.
        trials: of the episode; by default as many as in training.
        episode: its number: another one has other projections, starts and, if the agent's are drawn, actions.

    Raises:
        UserError: the agent's experiment has no such task.
    """
    environments = agent.environments([task], trials=trials)
    episodes = environments.members[0]
    task_key, step_key, act_key = jax.random.split(jax.random.PRNGKey(episode), 3)
    step = jax.jit(environments.step)
    states, now = jax.jit(environments.reset)(key=task_key)
    memory = agent.initial_memory(1)
    trial_steps: dict[int, list[tuple]] = {}
    for number in range(environments.episode_steps):
        draw = jax.random.fold_in(act_key, number) if agent.spec.evaluation.sample_actions else None
        memory, action = agent.act(memory, now.observation, now.episode_start, key=draw)
        before = now.observation[0]
        state = jax.tree.map(lambda leaf: np.asarray(leaf[0]), states[0])
        picture = episodes.environment.picture(state.task, state.environment)
        states, now = step(states, action, key=jax.random.fold_in(step_key, number)[None])
        features = environments.action_space.features(action)[0]
        seen = tuple(np.asarray(value) for value in (before, features, now.reward[0]))
        trial_steps.setdefault(int(now.trial[0]), []).append((picture, *seen))
        if bool(now.episode_start[0]):
            break
    played = []
    for index, steps in trial_steps.items():
        pictures, *arrays = zip(*steps, strict=True)
        played.append(PlayedTrial(index + 1, name, tuple(pictures), *(np.stack(values) for values in arrays)))
    spec = agent.spec.environment
    words = episodes.environment.words(task)
    return PlayedEpisode(task, words, spec.rung, episodes.shown_size, tuple(played))


def choose_task(agent: Agent, task: str | None) -> str:
    """A task of the agent's experiment, by default the first it was trained on.

    Raises:
        UserError: there is no such task.
    """
    if task is None:
        return agent.tasks[0]
    if task not in agent.tasks:
        raise UserError(f"--task: got {task!r}; expected one of {', '.join(agent.tasks)}")
    return task
