"""Checkpoints: the whole state of a run, written whole, read back bit for bit.

A checkpoint is a folder, named after its update:

    arrays.zip      the bytes of every leaf of the state, one entry a leaf, not compressed
    metadata.json   the update, its score, type of every leaf, the caller's metadata
    checksums.json  CRC-32 of every other file
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from icrl.errors import MachineError, UserError
from icrl.runs.directory import CHECKPOINTS
from icrl.runs.disk import move, sync, to_json, writing
from icrl.types import PyTree, type_of

logger = logging.getLogger(__name__)

ARRAYS, METADATA, CHECKSUMS = "arrays.zip", "metadata.json", "checksums.json"

T = TypeVar("T")


class Checkpoints:
    """The checkpoints of one run, in one folder that a single process writes."""

    def __init__(self, path: Path, keep: int = 2) -> None:
        """Args: path: the folder of all checkpoints; keep: how many of the newest stay, besides the best."""
        assert keep >= 1, "the newest checkpoint is what a run resumes from"
        self.path = path
        self._keep = keep

    def updates(self) -> list[int]:
        """The updates that have a checkpoint, ascending."""
        folders = self.path.iterdir() if self.path.is_dir() else ()
        return sorted(int(folder.name) for folder in folders if folder.name.isascii() and folder.name.isdecimal())

    def save(
        self,
        update: int,
        state: PyTree,
        best_score: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes the checkpoint of this update, then deletes those that are not kept any longer.

        A process killed at any moment, or a loss of power, leaves this checkpoint whole or not at all, and the one
        before until this one was read back. Checkpoints of later updates, which a fallback has given up, are deleted
        too.

        Args:
            update: its place in the run.
            state: arrays of any dtype but typed keys.
            best_score: what the best checkpoint has most of; None or NaN is never the best.
            metadata: anything that JSON can hold.

        Raises:
            MachineError: the disk is full or not writable; the checkpoints before are intact.
        """
        description = {"update": update, "best_score": best_score, "metadata": metadata or {}}
        folder, unfinished = self.path / str(update), self.path / f"{update}.unfinished"
        with writing(folder):
            self._clear_up()
            unfinished.mkdir(parents=True)
            try:
                _write(unfinished, state, description)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            if folder.exists():
                move(folder, self.path / f"{update}.replaced")
            move(unfinished, folder)
            sync(self.path)
            self._discard_old(update)
            self._clear_up()

    def restore(self, template: PyTree) -> tuple[int, PyTree] | None:
        """The newest readable update and its state; None if the run has no checkpoint yet.

        The arrays are the saved ones bit for bit and lie, like fresh ones, uncommitted on the default device.

        Args:
            template: a state, or its shapes as `jax.eval_shape` gives them.

        Raises:
            UserError: the state has other leaves, shapes or dtypes than the template.
            MachineError: there are checkpoints, but none can be read.
        """

        def read(folder: Path) -> tuple[int, PyTree]:
            description = _verified_description(folder)
            return description["update"], _read(folder, description, template)

        with writing(self.path):
            self._clear_up()
        if not (folders := self.newest_first()):
            return None
        update, state = _first_readable(folders, read)
        if folders[0].name == str(update):  # nothing is to be fallen back to, and `keep` may have been lowered
            with writing(self.path):
                self._discard_old(update)
                self._clear_up()
        return update, state

    def newest_first(self) -> list[Path]:
        """The folders of the checkpoints, readable or not."""
        return [self.path / str(update) for update in reversed(self.updates())]

    def _clear_up(self) -> None:
        """Deletes what is no checkpoint, once it has put back the one that a killed process was replacing."""
        for leftover in list(self.path.iterdir()) if self.path.is_dir() else ():
            update, _, suffix = leftover.name.partition(".")
            if not update.isdecimal() or suffix not in ("unfinished", "replaced", "discarded"):
                continue
            if suffix == "replaced" and not (self.path / update).exists():
                move(leftover, self.path / update)
            else:
                # Another process may still read in it, and a network file system then keeps it until later.
                shutil.rmtree(leftover, ignore_errors=True)

    def _discard_old(self, update: int) -> None:
        updates = [other for other in self.updates() if other <= update]
        kept = {*updates[-self._keep :], max(updates, key=lambda other: _rank(self.path / str(other)))}
        for other in set(self.updates()) - kept:
            try:
                (self.path / str(other)).rename(self.path / f"{other}.discarded")
            except OSError:  # a disk that cannot rename it, as a container's cannot what came with its image
                shutil.rmtree(self.path / str(other))


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint whose files are known to be as they were written."""

    folder: Path
    description: dict[str, Any]
    """What its metadata.json says."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What the caller of `Checkpoints.save` gave."""
        return self.description["metadata"]

    @classmethod
    def newest(cls, path: Path) -> Self:
        """The newest readable one.

        Args:
            path: one checkpoint, or a folder of checkpoints or a run directory.

        Raises:
            UserError: there is no checkpoint.
            MachineError: none can be read.
        """
        return _first_readable(_candidates(path), lambda folder: cls(folder, _verified_description(folder)))

    def params(self, template: PyTree) -> PyTree:
        """The parameters alone, the leaves of the state below `agent.params`.

        Args:
            template: the parameters, or their shapes.

        Raises:
            UserError: they do not fit the template.
            MachineError: they cannot be read.
        """
        return _first_readable([self.folder], lambda folder: _read(folder, self.description, template, "agent.params."))


def is_checkpoint(path: Path) -> bool:
    """Whether a folder is one checkpoint, or was."""
    return any((path / part).exists() for part in (ARRAYS, METADATA, CHECKSUMS))


def _candidates(path: Path) -> list[Path]:
    """Folders of checkpoints, newest first."""
    if is_checkpoint(path):
        return [path]
    folders = Checkpoints(path / CHECKPOINTS if (path / CHECKPOINTS).is_dir() else path).newest_first()
    if not folders:
        raise UserError(f"{path}: got no checkpoint in it; expected at least one; train the run first")
    return folders


def _rank(folder: Path) -> tuple[float, int]:
    """Order by score, then by update. A checkpoint without a readable score comes before all with one."""
    try:
        score = json.loads((folder / METADATA).read_text())["best_score"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        score = None
    if not isinstance(score, float | int) or math.isnan(score):
        score = -math.inf
    return score, int(folder.name)


class _UnreadableError(Exception):
    """A checkpoint is damaged; says how."""


def _first_readable(folders: Sequence[Path], read: Callable[[Path], T]) -> T:
    for folder in folders:
        try:
            return read(folder)
        except _UnreadableError as error:
            logger.warning("%s: the checkpoint cannot be read: %s", folder, error)
    raise MachineError(
        f"{', '.join(map(str, folders))}: got only damaged checkpoints; expected one that can be read; "
        "restore one from a backup, or start anew in another folder with --out"
    )


def _write(folder: Path, state: PyTree, description: Mapping[str, Any]) -> None:
    leaves = _named_leaves(state)
    arrays = {name: np.asarray(leaf) for name, leaf in jax.device_get(leaves).items()}
    types = {
        "leaves": {name: type_of(leaf) for name, leaf in leaves.items()},
        "weakly_typed": [name for name, leaf in leaves.items() if jax.typeof(leaf).weak_type],
    }
    _pack(folder / ARRAYS, arrays)
    (folder / METADATA).write_text(json.dumps(to_json({**description, **types})))
    files = [file for file in folder.rglob("*") if file.is_file()]
    checksums = {str(file.relative_to(folder)): _checksum(file) for file in files}
    (folder / CHECKSUMS).write_text(json.dumps(checksums))
    for path in (*folder.rglob("*"), folder):
        sync(path)
    _read_back(folder, arrays)


def _pack(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, array in arrays.items():
            file.writestr(zipfile.ZipInfo(name), array.tobytes())


def _unpack(path: Path, wanted: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of these names, of the dtype and shape of the leaves."""
    with zipfile.ZipFile(path) as file:
        for name, leaf in wanted.items():
            if file.getinfo(name).file_size != math.prod(leaf.shape) * leaf.dtype.itemsize:
                raise _UnreadableError(f"{name} in {ARRAYS} is not as long as {METADATA} says")
        return {name: np.ndarray(leaf.shape, leaf.dtype, file.read(name)) for name, leaf in wanted.items()}


def _read_back(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises OSError unless a checkpoint reads as what it was made of."""
    try:
        saved = _saved(folder, _verified_description(folder), arrays)
    except (_UnreadableError, UserError) as error:
        raise OSError(f"it cannot be read back: {error}") from error
    if any(saved[name].tobytes() != array.tobytes() for name, array in arrays.items()):
        raise OSError("it reads back with other numbers")


def _verified_description(folder: Path) -> dict[str, Any]:
    """What metadata.json says, once every file of the checkpoint is known to be as it was written."""
    try:
        for name, checksum in json.loads((folder / CHECKSUMS).read_text()).items():
            if not Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder)):
                raise _UnreadableError(f"{CHECKSUMS} names {name}, which is not in the checkpoint")
            if _checksum(folder / name) != checksum:
                raise _UnreadableError(f"{name} has changed since it was written")
        description = json.loads((folder / METADATA).read_text())
    except FileNotFoundError as error:
        raise _UnreadableError(f"{Path(error.filename).relative_to(folder)} is missing") from error
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise _UnreadableError(f"{CHECKSUMS} or a file it names is damaged ({error})") from error
    if not _is_description(description):
        raise _UnreadableError(f"{METADATA} is not one that icrl writes")
    if folder.name.isdecimal() and folder.name != str(description["update"]):
        raise _UnreadableError(f"{METADATA} says that it is of update {description['update']}")
    return description


def _is_description(value: Any) -> bool:
    """Whether a value has the fields of metadata.json, each of its type."""
    types = {"update": int, "best_score": float | int | None, "metadata": dict, "leaves": dict, "weakly_typed": list}
    return (
        isinstance(value, dict)
        and all(name in value and isinstance(value[name], type_) for name, type_ in types.items())
        and all(isinstance(type_, str) for type_ in value["leaves"].values())
        and value["update"] >= 0
    )


def _read(folder: Path, description: Mapping[str, Any], template: PyTree, below: str = "") -> PyTree:
    arrays = _saved(folder, description, _named_leaves(template, below), below)
    leaves = [_on_device(array, name in description["weakly_typed"]) for name, array in arrays.items()]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def _saved(
    folder: Path, description: Mapping[str, Any], wanted: Mapping[str, Any], below: str = ""
) -> dict[str, np.ndarray]:
    """The arrays of the wanted leaves, which must be all `below`, in their order."""
    _require_same_types(
        folder,
        expected={name: type_of(leaf) for name, leaf in wanted.items()},
        saved={name: type_ for name, type_ in description["leaves"].items() if name.startswith(below)},
    )
    try:
        return _unpack(folder / ARRAYS, wanted)
    except Exception as error:  # a ZIP can be damaged in many ways
        raise _UnreadableError(str(error).partition("\n")[0][:300]) from error


def _on_device(array: np.ndarray, is_weakly_typed: bool) -> jax.Array:
    """The array as JAX had it: uncommitted, and of a weak type if it was, so that no step is recompiled."""
    if not is_weakly_typed:
        return jnp.array(array)
    weak = jnp.full(array.shape, array.dtype.type(0).item())
    return weak.at[...].set(array)  # keeps the weak type, for which JAX has no public cast


def _require_same_types(folder: Path, expected: dict[str, str], saved: dict[str, str]) -> None:
    wrong = [
        f"{name}: got {saved.get(name, 'nothing')}; expected {expected.get(name, 'nothing')}"
        for name in expected | saved
        if saved.get(name) != expected.get(name)
    ]
    if wrong:
        rest = [f"and {len(wrong) - 5} more"] if len(wrong) > 5 else []
        raise UserError(
            f"{folder}: does not fit the spec; use the spec and the version of icrl that made it\n"
            + "\n".join([*wrong[:5], *rest])
        )


def _named_leaves(tree: PyTree, below: str = "") -> dict[str, Any]:
    """The leaves by their path, such as `params.encoder.kernel`; `below` is the path of the tree itself."""
    paths_and_leaves, _ = jax.tree.flatten_with_path(tree)
    named = {below + jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths_and_leaves}
    assert len(named) == len(paths_and_leaves), "two leaves of the state have the same path"
    return named


def _checksum(path: Path) -> int:
    return zlib.crc32(path.read_bytes())
