"""Records: the schema of an evaluation and of reference returns, written and read back as JSON.

A record's file is a `Record` as `to_dict` writes it and `parse` reads it; what a field means stands beside it here.
Arrays are indexed [seed, episode, trial] (returns, scores) and [seed, step] (rewards by step in context).
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np

from icrl.errors import Problem, SpecError, UserError, is_file_name, join_path, show
from icrl.fields import Bound, Label, Name, PositiveInt, Spec, at_least
from icrl.runs.disk import to_json, write_atomically
from icrl.runs.provenance import Machine
from icrl.spec.parse import parse, to_dict
from icrl.spec.shipped import shipped_references

logger = logging.getLogger(__name__)

RESULTS = Path("results")

SPLITS = {"train": "Training tasks", "held_out": "Held-out tasks"}
"""The two kinds of tasks, and how a reader sees them."""


def _is_split(text: str) -> bool:
    kind, _, group = text.partition("/")
    return text in SPLITS or (kind == "held_out" and is_file_name(group))


Split = Annotated[str, Bound("train, held_out, or held_out/ and the name of a group", _is_split)]
"""One of them, or a group of the tasks held out."""

Count = Annotated[int, at_least(0)]
AT_LEAST_ONE = Bound("at least one", bool)

ALONE = 0.1
"""Cores that other programs may keep busy beside a training that is still called alone."""

T = TypeVar("T")


@dataclass(frozen=True)
class Reference(Spec):
    """Returns per trial that anchor the normalised score of one task."""

    random: float
    """Of a uniformly random policy."""
    do_nothing: float
    """Of the policy whose action is always zero."""
    specialist: float | None = None
    """Of an agent trained on this task alone, without projections, taking its likeliest action; null if unknown."""

    def problems(self) -> list[Problem]:
        """A specialist that learned nothing."""
        found = super().problems()
        if self.specialist is not None and self.specialist <= self.floor:
            expected = f"more than the better of random and do-nothing, {self.floor:g}"
            advice = "train the specialist longer, or leave the task out"
            found.append(Problem("specialist", f"{self.specialist:g}", expected, advice))
        return found

    @property
    def floor(self) -> float:
        """The better of the random and the do-nothing policy: score 0."""
        return max(self.random, self.do_nothing)

    def normalise(self, returns: np.ndarray) -> np.ndarray | None:
        """(returns - floor) / (specialist - floor), or None without a specialist."""
        return None if self.specialist is None else (returns - self.floor) / (self.specialist - self.floor)


@dataclass(frozen=True, eq=False)
class TaskResult:
    """What one model did on one task."""

    split: Split
    """`train` (unseen projections of a training task), `held_out`, or `held_out/GROUP`."""
    returns: np.ndarray
    """Return of every trial, [seed, episode, trial]."""
    reward_by_step: np.ndarray
    """Reward at each step in context, mean over episodes, [seed, trials * trial_steps]; 0 after an episode's end."""
    random: float
    """Mean return per trial of the uniformly random policy, on the same tasks, projections and starts."""
    do_nothing: float
    """The same of the policy whose action is always zero."""


@dataclass(frozen=True, eq=False)
class Probe(Spec):
    """What a ridge regression on other episodes reads off what the sequence model gives to the heads."""

    steps: Annotated[tuple[PositiveInt, ...], AT_LEAST_ONE]
    """Steps in context, the first is 1."""
    readings: dict[Split, dict[str, np.ndarray]]
    """How well each quantity is read, by split of the tasks, [seed, step]: `task` is the share of episodes whose task
    is told rightly; all else was drawn with the episode, and R^2 is the share of its variance within a task."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Record(Spec):
    """One evaluation of one model: every seed, every task."""

    schema: Literal[1] = 1
    """Version of this layout."""
    experiment: Name
    model: Label
    """Name of the model among those the experiment compares."""
    scale: Label
    point: Label = ""
    """The point of the experiment's grid, "" off it."""
    rung: str = ""
    """The projection family it was evaluated on, a rung of the ladder, `observation/action` where they differ."""
    env_steps: Count
    """Env steps of training, per seed, at the checkpoint evaluated."""
    command: str
    """The command that made the record."""
    git_commit: str | None = None
    machine: Machine = field(default_factory=Machine)
    """What the training ran on; in older records, and where a run does not say, the evaluation."""
    changes: tuple[str, ...] = ()
    """In what the evaluation is not the one that the run's spec describes: an option, an override, a name."""
    trials_per_episode: PositiveInt
    """Trials of an episode in training."""
    trial_steps: PositiveInt
    """Length of the longest trial, in env steps."""
    action_repeat: PositiveInt | None = None
    """Steps of the environment in an env step; null in records that do not say."""
    trials: PositiveInt
    """Trials of an episode in this evaluation, perhaps more than in training."""
    num_episodes: PositiveInt
    """Episodes per seed and task."""
    num_parameters: Count
    """Of one seed's agent."""
    seconds: float
    """Wall clock of the evaluation, compiling included."""
    train_seconds: float | None = None
    """Wall clock of the training, compiling aside, all seeds together."""
    train_env_steps_per_second: float | None = None
    """Throughput of the training, all seeds together."""
    train_memory_bytes: float | None = None
    """What the compiled training holds at once, all seeds together."""
    train_other_cores: float | None = None
    """Cores that other programs kept busy during the training, on average; null where nobody knows."""
    seeds: Annotated[tuple[int, ...], AT_LEAST_ONE]
    """In the order of the arrays."""
    tasks: Annotated[dict[str, TaskResult], AT_LEAST_ONE]
    references: dict[str, Reference] = field(default_factory=dict)
    """What the returns are measured against, of the tasks that have recorded references."""
    probe: Probe | None = None
    """Of an evaluation with `--probe`; absent from the file of others."""

    plugins: dict[str, str] = field(default_factory=dict)
    """What the run names from outside icrl, `module:Class`, with the SHA-256 of the module's file at the
    evaluation; absent from the file where it names nothing."""
    source: str = ""
    """Where the record was read from; not in the file."""
    apart: frozenset[str] = frozenset()
    """Tasks that count in no mean score, since they ask for no adaptation; not in the file."""

    def problems(self) -> list[Problem]:
        """Fields out of bounds; where there are none, arrays of another shape than the others say."""
        if problems := super().problems():
            return problems
        of_returns = (len(self.seeds), self.num_episodes, self.trials)
        of_rewards = (len(self.seeds), self.trials * self.trial_steps)
        for name, task in self.tasks.items():
            where = join_path("tasks", name)
            problems += _wrong_shape(f"{where}.returns", task.returns, of_returns, "[seed][episode][trial]")
            problems += _wrong_shape(f"{where}.reward_by_step", task.reward_by_step, of_rewards, "[seed][step]")
        if self.probe:
            of_probe = (len(self.seeds), len(self.probe.steps))
            for split, readings in self.probe.readings.items():
                for name, values in readings.items():
                    problems += _wrong_shape(f"probe.readings.{split}.{name}", values, of_probe, "[seed][step]")
        return problems

    @property
    def trained_alone(self) -> bool:
        """Whether the machine is known to have had hardly anything else to do, so that its times mean something."""
        return self.train_other_cores is not None and self.train_other_cores < ALONE

    @property
    def last_trial(self) -> int:
        """Index of the last trial that training knew; those after it extrapolate."""
        return min(self.trials, self.trials_per_episode) - 1

    @property
    def trials_keep_step(self) -> bool:
        """Whether a step in context is in the same trial of every episode: not where trials end early."""
        return self.trials == 1 or all(np.any(task.reward_by_step[:, -1]) for task in self.tasks.values())

    def split_title(self, split: Split) -> str:
        """A split as a reader sees it, with what an evaluation changes of its tasks."""
        unseen = ", unseen projections" if split == "train" and self.rung else ""
        kind, _, group = split.partition("/")
        return SPLITS[kind] + (f": {group}" if group else "") + unseen

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits it was evaluated on, training tasks first."""
        splits = dict.fromkeys(task.split for task in self.tasks.values())
        return tuple(sorted(splits, key=lambda split: split != "train"))

    def split(self, split: Split) -> dict[str, TaskResult]:
        """The tasks of one split, by name."""
        return {name: task for name, task in self.tasks.items() if task.split == split}

    def reference(self, task: str) -> Reference:
        """What returns on a task are measured against: the recorded lines, or what this evaluation measured."""
        result = self.tasks[task]
        return self.references.get(task) or Reference(result.random, result.do_nothing)

    def score(self, task: str) -> np.ndarray | None:
        """Normalised score of every trial of a task, [seed, episode, trial], or None without a reference."""
        return self.reference(task).normalise(self.tasks[task].returns)

    def unscored(self, split: Split) -> list[str]:
        """The tasks of a split without a reference, hence without a score."""
        return [name for name in self.split(split) if self.score(name) is None]

    def counted(self, split: Split) -> list[str]:
        """The tasks of a split that its mean score is over: of those with a score all but those apart, if any."""
        scored = [name for name in self.split(split) if self.score(name) is not None]
        return [name for name in scored if name not in self.apart] or scored

    def uncounted(self, split: Split) -> list[str]:
        """The tasks of a split that its mean score leaves out as asking for no adaptation."""
        return [name for name in self.split(split) if name not in (*self.counted(split), *self.unscored(split))]

    def scores(self, split: Split) -> list[np.ndarray]:
        """Normalised score of every trial, [seed, episode, trial] for every counted task of a split."""
        return [score for name in self.counted(split) if (score := self.score(name)) is not None]

    def returns(self, split: Split) -> list[np.ndarray]:
        """Return of every trial, [seed, episode, trial] for every task of a split."""
        return [task.returns for task in self.split(split).values()]

    def measure(self, split: Split) -> Literal["score", "return"]:
        """What the mean of a split is given in: scores where there are any."""
        return "score" if self.counted(split) else "return"

    def beside(self, other: Record) -> Record:
        """This record on the tasks of another, measured against the other's references."""
        references = {name: other.reference(name) for name in other.tasks}
        return replace(self, tasks={name: self.tasks[name] for name in other.tasks}, references=references)


@dataclass(frozen=True, kw_only=True)
class References(Spec):
    """The recorded references of one experiment."""

    schema: Literal[1] = 1
    """Version of this layout."""
    experiment: Name
    trial_steps: PositiveInt
    """Length of the longest trial when they were measured: returns of another length do not compare."""
    action_repeat: PositiveInt | None = None
    """Steps of the environment in an env step when they were measured; null where the file does not say."""
    command: str
    """The command that made them."""
    git_commit: str | None = None
    machine: Machine = field(default_factory=Machine)
    env_steps: int | None = None
    """Budget of each specialist."""
    references: dict[str, Reference]
    """By task, measured without projections."""

    def fit(self, trial_steps: int, action_repeat: int | None) -> bool:
        """Whether they were measured under these conditions, as far as both are known."""
        return self.trial_steps == trial_steps and (
            None in (self.action_repeat, action_repeat) or self.action_repeat == action_repeat
        )


def save_record(record: Record, path: Path) -> Record:
    """Writes a record in one step; gives it with its source.

    Raises MachineError if the disk refuses.
    """
    data = to_dict(record)
    del data["source"], data["apart"]
    for name in ("plugins", "probe"):
        if not data[name]:
            del data[name]
    write_atomically(path, json.dumps(to_json(data)) + "\n")
    return replace(record, source=str(path))


def load_record(path: Path) -> Record:
    """The evaluation record in a file.

    Raises UserError if the file is missing or malformed: every mistake with its field, got, expected.
    """
    return replace(_load(Record, path), source=str(path))


def references_path(experiment: str) -> Path:
    """Where the references of an experiment are recorded."""
    return RESULTS / "references" / f"{experiment}.json"


def load_references(path: Path) -> References:
    """The references in a file.

    Raises UserError if the file is missing or malformed: every mistake with its field, got, expected.
    """
    return _load(References, path)


def recorded_references(experiment: str, trial_steps: int, action_repeat: int) -> dict[str, Reference]:
    """The recorded references that fit these trials, by task: the present folder's, else those that come with icrl.

    Damaged ones are left out, which is said.
    """
    for path in (references_path(experiment), shipped_references(experiment)):
        if path.exists():
            try:
                found = load_references(path)
            except UserError as error:
                logger.warning("these references are not used: %s", error)
                continue
            if found.fit(trial_steps, action_repeat):
                return found.references
    return {}


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises UserError if the file cannot be read or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(data, ensure_ascii=False).encode()  # refuses halves of a character, which nothing can print
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a JSON file") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON ({error}); make it again") from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: got {show(data)}; expected a JSON object")
    return data


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


def _load(cls: type[T], path: Path) -> T:
    try:
        return parse(cls, read_object(path))
    except SpecError as error:
        raise UserError("\n".join(f"{path}: {problem}" for problem in error.problems)) from error


def _wrong_shape(where: str, array: np.ndarray, shape: tuple[int, ...], layout: str) -> list[Problem]:
    if array.shape == shape:
        return []
    got, expected = (" x ".join(map(show, sizes)) for sizes in (array.shape, shape))
    return [Problem(where, got or "one number", f"{layout}, {expected} numbers")]


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, float | int) and abs(value) <= sys.float_info.max)
