"""Trackers: where the records of a run are shown while it runs. `metrics.jsonl` has them all the same."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from icrl.errors import MachineError, UserError

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """Receives the records of one seed, in order, then its evaluation."""

    def log(self, record: Mapping[str, Any]) -> None:
        """Shows one record; it has `update` and `env_steps`."""
        ...

    def log_evaluation(
        self, summary: Mapping[str, Any], by_trial: Sequence[Mapping[str, Any]], figures: Mapping[str, Path]
    ) -> None:
        """Shows how the trained agent adapts.

        Args:
            summary: `update`, `env_steps`, and the numbers to compare runs by.
            by_trial: one row for every trial of every task, all with the same columns.
            figures: PNG files by name.
        """
        ...

    def finish(self) -> None:
        """Shows what is still on its way; nothing is logged afterwards."""
        ...


class MemoryTracker:
    """Keeps what it receives, for tests."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.evaluations: list[tuple[dict[str, Any], list[dict[str, Any]], dict[str, Path]]] = []
        self.is_finished = False

    def log(self, record: Mapping[str, Any]) -> None:
        """Appends the record to `records`."""
        self.records.append(dict(record))

    def log_evaluation(
        self, summary: Mapping[str, Any], by_trial: Sequence[Mapping[str, Any]], figures: Mapping[str, Path]
    ) -> None:
        """Appends all three to `evaluations`."""
        self.evaluations.append((dict(summary), [dict(row) for row in by_trial], dict(figures)))

    def finish(self) -> None:
        """Sets `is_finished`."""
        self.is_finished = True


class Trackers:
    """The trackers of all seeds: opened when they are first needed, finished at the end of a ``with``."""

    def __init__(self, seeds: Sequence[int], open_tracker: Callable[[int], Tracker]) -> None:
        """Args: seeds: one tracker each; none in a process that shows nothing; open_tracker: opens that of a seed."""
        self._seeds, self._open_tracker = seeds, open_tracker
        self._trackers: list[Tracker] = []
        self._at_the_end = ExitStack()

    def open(self) -> list[Tracker]:
        """All of them, in the order of the seeds.

        Raises UserError or MachineError if one cannot be opened.
        """
        if not self._trackers:
            for seed in self._seeds:
                self._trackers.append(self._open_tracker(seed))
                self._at_the_end.callback(self._trackers[-1].finish)
        return self._trackers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._at_the_end.close()


class WandbTracker:
    """One W&B run, drawn over `env_steps`.

    Offline needs no account and connects to nothing: `wandb sync RUN_DIR/wandb/*run-*` uploads the run later,
    and joins its parts if it was resumed. Once W&B fails, training goes on without it.
    """

    def __init__(
        self,
        mode: Literal["offline", "online", "disabled"],
        *,
        directory: Path,
        project: str,
        group: str,
        name: str,
        seed: int,
        run_id: str,
        spec: Mapping[str, Any],
    ) -> None:
        """Starts the W&B run, or resumes it.

        Args:
            mode: `disabled` does nothing at all.
            directory: the run directory; W&B writes into its folder `wandb`.
            project: W&B's project.
            group: what the seeds of one run share in W&B.
            name: of the run; the seed is appended.
            seed: one W&B run shows one seed.
            run_id: the manifest's `id`: the same id and seed resume the same W&B run.
            spec: plain values, shown as W&B's config.

        Raises:
            UserError: online, but nobody is logged in.
            MachineError: online, but W&B cannot be reached.
        """
        self._run: Any = None
        self._seed = seed
        if mode == "disabled":
            return
        if mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its telemetry would connect
        import wandb
        from wandb.errors import AuthenticationError, UsageError

        try:
            with self._tolerating_failures(tolerate=mode == "offline"):
                self._run = wandb.init(
                    mode=mode,
                    dir=directory,
                    project=project,
                    group=group,
                    name=f"{name}-seed{seed}",
                    id=f"{run_id}-seed{seed}",
                    resume="allow",
                    config={**spec, "seed": seed},
                    settings=wandb.Settings(
                        silent=True, console="off", disable_git=True, disable_code=True, reinit="create_new"
                    ),
                )
                self._run.define_metric("env_steps")
                self._run.define_metric("*", step_metric="env_steps")
        except (UsageError, AuthenticationError) as error:
            raise UserError(f"--wandb: got online; {error}; or use --wandb offline") from error
        except Exception as error:
            raise MachineError(
                f"--wandb: got online; W&B failed ({error}); use --wandb offline, and `wandb sync` later"
            ) from error

    def log(self, record: Mapping[str, Any]) -> None:
        """Sends one record. Updates that W&B has already, repeated after a resume, are left out."""
        if self._run is not None:
            with self._tolerating_failures():
                if record["update"] >= self._run.step:
                    shown = {key: value for key, value in record.items() if value is not None}
                    self._run.log(shown, step=record["update"])

    def log_evaluation(
        self, summary: Mapping[str, Any], by_trial: Sequence[Mapping[str, Any]], figures: Mapping[str, Path]
    ) -> None:
        """Sends the numbers to W&B's summary, the rows as the table `evaluation/by_trial`, the figures as images."""
        if self._run is not None:
            import wandb

            with self._tolerating_failures():
                table = wandb.Table(list(by_trial[0]), [list(row.values()) for row in by_trial])
                images = {f"evaluation/{name}": wandb.Image(str(path)) for name, path in figures.items()}
                # After an online resume W&B is already past this update.
                step = max(summary["update"], self._run.step)
                self._run.log({**summary, "evaluation/by_trial": table, **images}, step=step)

    def finish(self) -> None:
        """Ends the W&B run; online, waits until all is uploaded."""
        if self._run is not None:
            with self._tolerating_failures():
                self._run.finish()
            self._run = None

    @contextmanager
    def _tolerating_failures(self, tolerate: bool = True) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not tolerate:
                raise
            self._run = None
            logger.warning(
                "W&B failed for seed %d (%s); the run goes on without it, metrics.jsonl has everything",
                self._seed,
                str(error) or type(error).__name__,
            )
            _part_from_wandb()


def _part_from_wandb() -> None:
    """Now, as far as it still answers: at exit it would fail again, with a traceback."""
    import wandb

    with suppress(Exception):
        wandb.teardown()
