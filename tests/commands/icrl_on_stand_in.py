"""`icrl` as a process of its own, on the stand-in for Brax: ``python -m tests.commands.icrl_on_stand_in train ...``

The variable DIE names a moment at which the process kills itself with SIGKILL, or only W&B's. The variable SIGNAL, such
as `3 15`, says after which chunk it sends itself which signal.
"""

import os
import shutil
import signal
from itertools import count

import psutil

from icrl import cli

with cli.quiet_imports():  # as the command itself imports them
    import jax

    from icrl.commands import train
    from icrl.envs.suites import SUITES
    from icrl.runs import checkpoints
    from icrl.runs.checkpoints import Checkpoints
    from icrl.runs.directory import METRICS, RunDirectory
    from tests.commands.stand_in import SUITE


def die(*_args, **_kwargs) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def while_writing_metrics() -> None:
    """Half of the third chunk's line is on disk, and no checkpoint of its update."""
    append, calls = RunDirectory.append_metrics, count(1)

    def append_or_die(self, records):
        append(self, records)
        if next(calls) == 3:
            path = self.path / METRICS
            last = path.read_bytes().splitlines(keepends=True)[-1]
            os.truncate(path, path.stat().st_size - len(last) // 2)
            die()

    RunDirectory.append_metrics = append_or_die


def while_writing_a_checkpoint() -> None:
    """The arrays of the second checkpoint are on disk, and the metrics of its update, but not its checksums."""
    save, calls = Checkpoints.save, count(1)

    def save_or_die(self, *args):
        if next(calls) == 2:
            checkpoints._checksum = die
        save(self, *args)

    Checkpoints.save = save_or_die


def before_the_evaluation() -> None:
    """Training is over, and saved."""
    train.evaluate_run = die


def while_compiling() -> None:
    """The run directory is open, and nothing trained."""
    jax.stages.Lowered.compile = die


def only_wandb() -> None:
    """Before the third line is logged, W&B's process dies and its folder vanishes; icrl lives."""
    append, calls = RunDirectory.append_metrics, count(1)

    def append_and_lose(self, records):
        append(self, records)
        if next(calls) == 3:
            for service in psutil.Process().children(recursive=True):
                service.kill()
                service.wait()
            shutil.rmtree(self.path / "wandb")

    RunDirectory.append_metrics = append_and_lose


def signal_itself(chunk: int, number: int) -> None:
    """A process of several has no other moment of its own: only the first writes."""
    check, calls = train.Training._refuse_non_finite, count(1)

    def check_and_signal(self, *args):
        check(self, *args)
        if next(calls) == chunk:
            os.kill(os.getpid(), number)

    train.Training._refuse_non_finite = check_and_signal


MOMENTS = {
    do.__name__: do
    for do in (while_compiling, while_writing_metrics, while_writing_a_checkpoint, before_the_evaluation)
}
FAULTS = MOMENTS | {only_wandb.__name__: only_wandb}

if __name__ == "__main__":
    SUITES["brax"] = SUITE
    if moment := os.environ.get("DIE"):
        FAULTS[moment]()
    if sent := os.environ.get("SIGNAL"):
        signal_itself(*map(int, sent.split()))
    cli.main()
