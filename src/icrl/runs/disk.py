"""Writing files whole, to disks that may be full or read-only, and values that JSON can hold."""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from icrl.errors import MachineError, UserError

logger = logging.getLogger(__name__)

UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
"""What a file system answers that cannot sync, or cannot lock."""
CANNOT_RENAME = {errno.EXDEV, errno.EBUSY}
"""What it answers where the one is on another mount, or is a mount."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError raised inside into a MachineError: that `path` was being written, and what to do."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
                advice = "what was written before is intact; free some space and run the same command again"
            case errno.ENOTDIR | errno.EISDIR | errno.ENAMETOOLONG | errno.ELOOP:
                advice = "choose another folder with --out"
            case errno.EROFS | errno.EACCES | errno.EPERM:
                advice = "make the folder writable, or choose another one with --out"
            case _:
                advice = "what was written before is intact; run the same command again"
        raise MachineError(f"{path}: could not be written ({error.strerror or error}); {advice}") from error


def require_folder(path: Path) -> Path:
    """Makes the folder where there is none, and gives it: before the work whose result is to go there.

    Raises:
        UserError: there is something else.
        MachineError: it cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: got a file; expected a folder or nothing; choose another folder with --out")
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces the file in one step: a process killed at any moment leaves the old content or the new.

    Raises:
        MachineError: the disk refuses; the old content is intact.
    """
    whole = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        try:
            with temporary.open("wb") as file:
                file.write(whole)
                file.flush()
                sync(file.fileno())
            move(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def sync(file: Path | int) -> None:
    """Waits until the disk itself holds the file, or the names in the folder, for a loss of power to leave.

    Args:
        file: its path or descriptor.

    Raises:
        OSError: the disk refuses; one that cannot sync is warned of once.
    """
    descriptor = file if isinstance(file, int) else os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        _warn_once(f"this disk cannot sync ({error.strerror}): a loss of power may cost what was written last")
    finally:
        if descriptor is not file:
            os.close(descriptor)


def move(source: Path, target: Path) -> None:
    """Renames a file or folder; where the disk cannot, copies it, with a warning, and deletes it.

    Raises:
        OSError: the disk refuses both.
    """
    try:
        source.replace(target)
    except OSError as error:
        if error.errno not in CANNOT_RENAME:
            raise
        _warn_once(f"{target}: cannot be renamed into place ({error.strerror}) and is copied")
        if source.is_dir():
            shutil.copytree(source, target)
            for path in (*target.rglob("*"), target):
                sync(path)
            shutil.rmtree(source)
        else:
            shutil.copyfile(source, target)
            sync(target)
            source.unlink()


@cache
def _warn_once(text: str) -> None:
    logger.warning(text)


def to_json(value: Any) -> Any:
    """The value as strict JSON has it: numbers that are not finite become null, NumPy's become Python's."""
    match value:
        case np.generic() | np.ndarray():
            return to_json(value.tolist())
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [to_json(item) for item in value]
        case _:
            return value
