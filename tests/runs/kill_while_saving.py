"""Saves checkpoints in processes that die by SIGKILL, each at another moment of a save.

Prints one line a moment: the folder, the last update whose save had returned, how the process ended, and the
moment. The processes are forked before JAX starts any thread: to start Python for each would take far longer.
"""

import os
import shutil
import signal
import sys
import threading
from itertools import count
from pathlib import Path

import numpy as np

from icrl.runs import checkpoints, disk


def state(update: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(update)
    return {f"layer{layer}": random.normal(size=(50, 50)).astype(np.float32) for layer in range(20)}


def die(*_args, **_kwargs) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_half_way(function):
    """The function, but the process dies once the first file is deleted."""

    def call(path, *args, **kwargs):
        next(file for file in Path(path).rglob("*") if file.is_file()).unlink()
        die()

    return call


def at_rename(number: int) -> None:
    calls = count(1)

    def counted(rename):
        return lambda *paths: die() if next(calls) == number else rename(*paths)

    checkpoints.move, Path.rename = counted(checkpoints.move), counted(Path.rename)


def before_the_arrays() -> None:
    checkpoints._pack = die


def before_the_checksums() -> None:
    checkpoints._checksum = die


def before_it_is_read_back() -> None:
    checkpoints._read_back = die


def before_the_metadata() -> None:
    Path.write_text = die


def while_deleting_the_oldest() -> None:
    shutil.rmtree = die_half_way(shutil.rmtree)


def after(milliseconds: int):
    return lambda: threading.Timer(milliseconds / 1000, die).start()


# Name of the moment: how to arm it, and the update saved then; 1 and 2 are on disk already.
MOMENTS = {
    "before the arrays": (before_the_arrays, 3),
    "before the metadata": (before_the_metadata, 3),
    "before the checksums": (before_the_checksums, 3),
    "before it is read back": (before_it_is_read_back, 3),
    "before the commit": (lambda: at_rename(1), 3),
    "after the commit": (lambda: at_rename(2), 3),
    "while deleting the oldest": (while_deleting_the_oldest, 3),
    "between setting the old aside and replacing it": (lambda: at_rename(2), 2),
    **{f"after {delay} ms": (after(delay), 3) for delay in (5, 30, 60, 100, 150, 200)},
}


def save_until_killed(folder: Path, moment: str) -> None:
    arm, first = MOMENTS[moment]
    manager = checkpoints.Checkpoints(folder)
    for update in (1, 2):
        manager.save(update, state(update))
    arm()
    for update in range(first, 100):
        manager.save(update, state(update))
        disk.write_atomically(folder.with_suffix(".saved"), str(update))


def main() -> None:
    for number, moment in enumerate(MOMENTS):
        folder = Path(sys.argv[1]) / str(number)
        acknowledged = folder.with_suffix(".saved")
        acknowledged.write_text("2")
        child = os.fork()
        if child == 0:
            try:
                save_until_killed(folder, moment)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        ended = "killed" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else "not killed"
        print(folder, acknowledged.read_text(), ended, moment, sep="\t")


if __name__ == "__main__":
    main()
