"""The error policy of the command line: what a failure says, and the exit code it ends with."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from icrl.errors import IcrlError
from icrl.plugins import culprit


@contextmanager
def failing_with_an_exit_code(verb: str, verbose: bool) -> Iterator[None]:
    """The error policy: whatever goes wrong inside becomes a message on stderr and an exit code.

    0: done; 2: the user's mistake; 1: a failure of the machine or of ours; 130: interrupted.
    """
    try:
        yield
        return
    except KeyboardInterrupt:
        message, exit_code = "interrupted", 130
    except BrokenPipeError:
        raise  # the reader of stdout left, as in `icrl report | head`: Typer ends quietly
    except IcrlError as error:
        message, exit_code = str(error), error.exit_code
    except Exception as error:
        if message := _no_device(error):
            exit_code = 2
        else:
            message, exit_code = _machine_failure(error) or _our_failure(error, verb, verbose), 1
    if verbose:
        traceback.print_exc()
    message = "".join(f"\n  {line}" for line in message.splitlines()) if "\n" in message else f" {message}"
    with suppress(OSError):  # the terminal is gone
        typer.echo(f"icrl {verb}:{message}", err=True)
    raise typer.Exit(exit_code)


def forget_a_closed_terminal() -> None:
    """Drops what stderr holds and cannot write: Python would try again at its end, and make the exit code 120."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _no_device(error: Exception) -> str | None:
    """What to do where JAX was told of devices that it does not find; None for any other error."""
    told = os.environ.get("JAX_PLATFORMS")
    where = traceback.extract_tb(error.__traceback__)
    if not told or not where or Path(where[-1].filename).name != "xla_bridge.py":
        return None
    found = str(error).partition(" (set JAX_PLATFORMS")[0] or "JAX finds no such device"
    return (
        f"JAX_PLATFORMS: got {told}; expected devices of this machine that JAX is installed for ({found}); unset it to "
        "use what there is, or install JAX for NVIDIA GPUs with `pip install 'icrl[cuda]'`, which needs NVIDIA's driver"
    )


def _machine_failure(error: Exception) -> str | None:
    """What to do about a machine without space or memory; None for any other error."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return (
            "out of memory; lower num_rows, num_seeds, learner.rollout_steps or model.width "
            "(as in `icrl train SPEC num_rows=32`), or choose a smaller --scale"
        )
    if not isinstance(error, OSError):
        return None
    where = error.filename or "the output folder"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"{where}: no space left on the disk; free some, or choose another folder with --out"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return f"{where}: cannot be written ({error.strerror}); choose another folder with --out"
    return None


def _our_failure(error: Exception, verb: str, verbose: bool) -> str:
    """A short account of an unexpected error; its traceback is kept in a file unless it is printed anyway."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "an unknown place"
    summary = " ".join(f"{type(error).__name__}: {str(error).strip() or f'without a word, in {where}'}".split())
    message = summary if len(summary) <= 400 else f"{summary[:400]}..."
    if outside := culprit(error):
        message += f"\nit was raised at {outside}, which is none of icrl's; `icrl check` tries the parts of a contract"
    else:
        message += "\nthis is a fault of icrl or of a library below it: please report it to whoever gave you icrl"
    if verbose:
        return message
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"icrl-{verb}-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return f"{message}\n--verbose prints the traceback"
    return f"{message}\nthe traceback is in {file.name}; --verbose prints it"
