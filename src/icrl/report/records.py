"""Evaluation records: what `icrl evaluate` writes, read back and checked.

Arrays are indexed [seed, episode, trial] (returns, scores) and [seed, step] (rewards by step in context).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from icrl.errors import UserError
from icrl.report.fields import Fields, read_object

SCHEMA = 1
SPLITS = {"train": "Training tasks", "held_out": "Held-out tasks"}
"""The two kinds of tasks, and how a reader sees them."""


@dataclass(frozen=True)
class Reference:
    """Returns per trial that anchor the normalised score of one task; None where nobody measured them."""

    random: float | None = None
    """Of a uniformly random policy."""
    do_nothing: float | None = None
    """Of the policy whose action is always zero."""
    specialist: float | None = None
    """Of an agent trained on this task alone, without projections."""

    @property
    def floor(self) -> float | None:
        """The better of the random and the do-nothing policy: score 0."""
        return max((x for x in (self.random, self.do_nothing) if x is not None), default=None)

    def normalise(self, returns: np.ndarray) -> np.ndarray | None:
        """(returns - floor) / (specialist - floor), or None without a floor or a specialist."""
        if self.floor is None or self.specialist is None:
            return None
        return (returns - self.floor) / (self.specialist - self.floor)


@dataclass(frozen=True, eq=False)
class TaskResult:
    """What one model did on one task."""

    split: str
    """"train" (unseen projections of a training task) or "held_out"."""
    returns: np.ndarray
    """Return of every trial, [seed, episode, trial]."""
    reward_by_step: np.ndarray
    """Reward at each step in context, mean over episodes, [seed, trials * trial_steps]."""
    reference: Reference
    """What the returns are measured against."""

    @property
    def scores(self) -> np.ndarray | None:
        """Normalised score of every trial, [seed, episode, trial], or None without a reference."""
        return self.reference.normalise(self.returns)


@dataclass(frozen=True, eq=False)
class Record:
    """One evaluation of one model: every seed, every task."""

    source: str
    """Where the record was read from, for messages."""
    experiment: str
    model: str
    """Name of the model among those the experiment compares."""
    scale: str
    rung: str
    """The projection family it was evaluated on, a rung of the ladder; "" if the experiment has none."""
    env_steps: int
    """Env steps of training, per seed."""
    trials_per_episode: int
    """Trials of an episode in training."""
    trials: int
    """Trials of an episode in this evaluation, perhaps more than in training."""
    trial_steps: int
    """Length of the longest trial, in steps."""
    num_episodes: int
    """Episodes per seed and task."""
    num_parameters: int
    seconds: float
    """Wall clock of the evaluation."""
    train_seconds: float | None
    """Wall clock of the training, all seeds together."""
    train_env_steps_per_second: float | None
    """Throughput of the training, all seeds together."""
    train_memory_bytes: float | None
    """What the compiled training holds at once, all seeds together."""
    seeds: tuple[int, ...]
    command: str
    """The command that made the record."""
    git_commit: str | None
    tasks: Mapping[str, TaskResult]
    machine: Mapping[str, Any] = field(default_factory=dict)
    point: str = ""
    """The point of the experiment's grid, "" off it."""
    action_repeat: int | None = None
    """Steps of the environment in an env step; None in records that do not say."""
    apart: frozenset[str] = frozenset()
    """Tasks that count in no mean, since they ask for no adaptation."""

    @property
    def last_trial(self) -> int:
        """Index of the last trial that training knew; those after it extrapolate."""
        return min(self.trials, self.trials_per_episode) - 1

    @property
    def trials_keep_step(self) -> bool:
        """Whether a step in context is in the same trial of every episode: not where trials end early."""
        return self.trials == 1 or all(np.any(task.reward_by_step[:, -1]) for task in self.tasks.values())

    @property
    def last_returns(self) -> list[np.ndarray]:
        """Returns of the last trial that training knew, [seed, episode, 1] for every training task."""
        return [task.returns[:, :, [self.last_trial]] for task in self.split("train").values()]

    @property
    def is_normalised(self) -> bool:
        """Whether every task has a normalised score."""
        return all(task.scores is not None for task in self.tasks.values())

    def split_title(self, split: str) -> str:
        """A split as a reader sees it, with what an evaluation changes of its tasks."""
        unseen = ", unseen projections" if split == "train" and self.rung else ""
        return SPLITS[split] + unseen

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits it was evaluated on, training tasks first."""
        return tuple(split for split in SPLITS if self.split(split))

    def split(self, split: str) -> dict[str, TaskResult]:
        """The tasks of one split, by name."""
        return {name: task for name, task in self.tasks.items() if task.split == split}

    def counted(self, split: str) -> dict[str, TaskResult]:
        """The tasks of a split that its mean is over: all but those apart, or all if there are no others."""
        tasks = self.split(split)
        return {name: task for name, task in tasks.items() if name not in self.apart} or tasks

    def uncounted(self, split: str) -> list[str]:
        """Names of the tasks of a split that its mean leaves out."""
        return [name for name in self.split(split) if name not in self.counted(split)]

    def scores(self, split: str) -> list[np.ndarray]:
        """Normalised scores per counted task of a split, [seed, episode, trial]; returns, unless `is_normalised`."""
        tasks = self.counted(split).values()
        scores = [task.scores for task in tasks if task.scores is not None]
        return scores if self.is_normalised else [task.returns for task in tasks]

    def beside(self, other: Record) -> Record:
        """This record on the tasks of another, measured against the other's references."""
        references = {name: task.reference for name, task in other.tasks.items()}
        tasks = {name: self.tasks[name] for name in other.tasks}
        return replace(self, tasks=tasks).with_references(references)

    def with_references(self, references: Mapping[str, Reference]) -> Record:
        """The same record, measured against these references on the tasks they cover."""
        return replace(
            self,
            tasks={
                name: replace(task, reference=references.get(name, task.reference)) for name, task in self.tasks.items()
            },
        )


@dataclass(frozen=True)
class References:
    """The committed references of one experiment."""

    source: str
    """Where they were read from, for messages."""
    experiment: str
    trial_steps: int
    """Length of the longest trial when they were measured: returns of another length do not compare."""
    action_repeat: int | None
    """Steps of the environment in an env step when they were measured; None where the file does not say."""
    command: str
    """The command that made them."""
    tasks: Mapping[str, Reference]

    def fit(self, trial_steps: int, action_repeat: int | None) -> bool:
        """Whether they were measured under these conditions, as far as both are known."""
        return self.trial_steps == trial_steps and (
            None in (self.action_repeat, action_repeat) or self.action_repeat == action_repeat
        )


def load_record(path: Path) -> Record:
    """The evaluation record in a file.

    Raises UserError if the file is missing or malformed: file and field, got, expected.
    """
    return parse_record(read_object(path), source=str(path))


def parse_record(data: Mapping[str, Any], source: str = "evaluation") -> Record:
    """The evaluation record in a JSON object.

    Raises UserError if a field is missing or malformed: `source` and field, got, expected.
    """
    fields = Fields(data, source)
    fields.schema(SCHEMA)
    seeds = tuple(int(seed) for seed in fields.array("seeds", "[seed]", (None,)))
    trials, trial_steps = fields.count("trials"), fields.count("trial_steps")
    num_episodes = fields.count("num_episodes")
    references = _parse_references(fields.child("references")) if fields.has("references") else {}
    tasks = {
        name: TaskResult(
            split=task.choice("split", SPLITS),
            returns=task.array("returns", "[seed][episode][trial]", (len(seeds), num_episodes, trials)),
            reward_by_step=task.array("reward_by_step", "[seed][step]", (len(seeds), trials * trial_steps)),
            reference=references.get(
                name, Reference(_optional_number(task, "random"), _optional_number(task, "do_nothing"))
            ),
        )
        for name, task in fields.child("tasks").children().items()
    }
    if not tasks:
        raise fields.error("tasks", got="none", expected="at least one task")
    return Record(
        source=source,
        experiment=fields.name("experiment"),
        model=fields.name("model"),
        scale=fields.name("scale"),
        rung=fields.text("rung") if fields.has("rung") else "",
        env_steps=fields.count("env_steps", least=0),
        trials_per_episode=fields.count("trials_per_episode"),
        trials=trials,
        trial_steps=trial_steps,
        num_episodes=num_episodes,
        num_parameters=fields.count("num_parameters", least=0),
        seconds=fields.number("seconds"),
        train_seconds=_optional_number(fields, "train_seconds"),
        train_env_steps_per_second=_optional_number(fields, "train_env_steps_per_second"),
        train_memory_bytes=_optional_number(fields, "train_memory_bytes"),
        seeds=seeds,
        command=fields.text("command"),
        git_commit=fields.text("git_commit") if fields.has("git_commit") else None,
        tasks=tasks,
        machine=fields.mapping("machine") if fields.has("machine") else {},
        point=fields.name("point") if fields.has("point") else "",
        action_repeat=fields.count("action_repeat") if fields.has("action_repeat") else None,
    )


def load_references(path: Path) -> References:
    """The references in a file: a JSON object with the fields of `References`.

    Raises UserError if the file is missing or malformed: file and field, got, expected.
    """
    fields = Fields(read_object(path), str(path))
    fields.schema(SCHEMA)
    return References(
        source=str(path),
        experiment=fields.name("experiment"),
        trial_steps=fields.count("trial_steps"),
        action_repeat=fields.count("action_repeat") if fields.has("action_repeat") else None,
        command=fields.text("command"),
        tasks=_parse_references(fields.child("references")),
    )


def _parse_references(fields: Fields) -> dict[str, Reference]:
    references = {}
    for name, task in fields.children().items():
        random, do_nothing = task.number("random"), task.number("do_nothing")
        specialist, floor = task.number("specialist"), max(random, do_nothing)
        if specialist <= floor:
            raise task.error(
                "specialist",
                got=f"{specialist:g}",
                expected=f"more than the better of random and do-nothing, {floor:g}",
                advice="train the specialist longer, or leave the task out",
            )
        references[name] = Reference(random, do_nothing, specialist)
    return references


def read_metrics(record: Record) -> list[dict[str, Any]]:
    """The lines of <record>.metrics.jsonl, [] if nobody kept them.

    Raises UserError if a line is no JSON.
    """
    path = Path(record.source).with_suffix(".metrics.jsonl")
    if not path.exists():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not all(isinstance(line, dict) and all(map(_is_number, line.values())) for line in lines):
            raise ValueError("got other things than numbers")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not one JSON object a line ({error}); copy it from its run") from error
    return [line for line in lines if "env_steps" in line]


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, float | int) and abs(value) <= sys.float_info.max)


def _optional_number(fields: Fields, name: str) -> float | None:
    return fields.number(name) if fields.has(name) else None
