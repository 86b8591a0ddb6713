"""A run's folder, written so that a kill at any moment damages nothing in it.

It holds:

    spec.yaml        the resolved spec, of the latest resume: what determines training stays, but for a longer budget
    manifest.json    command, versions, git commit, devices, status, seconds
    metrics.jsonl    one JSON object a log line
    checkpoints/     see `icrl.runs.checkpoints`
    wandb/           see `icrl.runs.trackers`
    evaluation.json  and figures, once evaluated
    train.log        what it said, where `icrl reproduce` launched it
"""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal, Self

from icrl.errors import MachineError, UserError, is_file_name
from icrl.runs.disk import UNSUPPORTED, sync, to_json, write_atomically, writing
from icrl.runs.provenance import provenance
from icrl.spec.parse import difference, read_yaml
from icrl.spec.yaml_files import dump_yaml, load_yaml

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

logger = logging.getLogger(__name__)

LAYOUT = 1
"""Version of what a run directory holds, kept in its manifest."""

SPEC = "spec.yaml"
MANIFEST = "manifest.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
EVALUATION = "evaluation.json"
LOG = "train.log"
LOCK = ".lock"

FIELDS = {"id": str, "started": str, "seconds": int | float, "num_resumes": int}
"""Of a manifest: what icrl itself goes by."""

Status = Literal["running", "done", "interrupted", "failed"]


class RunDirectory:
    """One run on disk: `open` is for the one process that trains it, `read` for any that looks at it."""

    def __init__(
        self,
        path: Path,
        manifest: Mapping[str, Any],
        lock: IO[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._manifest = dict(manifest)
        self._lock = lock
        self._clock = clock
        self._opened = clock()
        self._seconds_before = float(manifest.get("seconds", 0.0))

    @classmethod
    def open(
        cls,
        path: Path,
        spec: Mapping[str, Any],
        command: Sequence[str],
        changes: Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[str]] = difference,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Creates the run, or resumes the one in the folder, whose spec this becomes; locks it.

        Args:
            path: the folder; its parents are made.
            spec: plain values, as `to_dict` gives them.
            command: the words of the command line, kept in the manifest.
            changes: the changes, from the run's spec to this one, with which it cannot be resumed.
            clock: wall clock, in seconds since the epoch.

        Raises:
            UserError: the folder holds something else, a run of another spec or of an unknown layout, or is
                open in another process.
            MachineError: the folder cannot be written.
        """
        spec = _plain(spec)
        with writing(path):
            _refuse_what_is_no_run(path)
            _refuse_links_out_of(path)
            path.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        try:
            is_new = not (path / MANIFEST).exists()
            run = cls(path, {} if is_new else _read_manifest(path), lock, clock)
            if is_new:
                run._start(spec, command)
            else:
                run._resume(spec, command, changes)
        except BaseException:
            lock.close()
            raise
        return run

    @classmethod
    def read(cls, path: Path) -> Self:
        """The run in a folder, or the one that a checkpoint, or the folder of all, belongs to; locks nothing.

        Raises:
            UserError: there is no run, its layout is unknown, or its manifest is damaged.
        """
        path = run_folder(path)
        _refuse_links_out_of(path)
        return cls(path, _read_manifest(path))

    def _start(self, spec: Mapping[str, Any], command: Sequence[str]) -> None:
        self._write_spec(spec)
        self.update_manifest(
            layout=LAYOUT,
            id=secrets.token_hex(4),
            command=shlex.join(command),
            status="running",
            started=self._now(),
            ended=None,
            num_resumes=0,
            **provenance(),
        )

    def _write_spec(self, spec: Mapping[str, Any]) -> None:
        write_atomically(self.path / SPEC, dump_yaml(spec))

    def _resume(
        self,
        spec: Mapping[str, Any],
        command: Sequence[str],
        changes: Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[str]],
    ) -> None:
        if difference(self.spec, spec):
            if refused := changes(self.spec, spec):
                raise UserError(
                    f"{self.path}: holds a run of another spec; resume it with its own, or choose another --out\n"
                    + "\n".join(refused)
                )
            self._write_spec(spec)
        made_with = provenance()
        if updated := difference({key: self.manifest.get(key) for key in made_with}, made_with):
            logger.warning("%s: resumed with other software (%s)", self.path, "; ".join(updated))
        self.update_manifest(
            command=shlex.join(command),
            status="running",
            ended=None,
            num_resumes=self.manifest["num_resumes"] + 1,
            **made_with,
        )

    @property
    def spec(self) -> dict[str, Any]:
        """The run's spec, as plain values."""
        return read_yaml(self.path / SPEC)

    @property
    def manifest(self) -> dict[str, Any]:
        """The run's manifest. Its `id` is the run's own for good, wherever the folder is moved."""
        return dict(self._manifest)

    @property
    def seconds(self) -> float:
        """Wall clock that the run was open for, over all resumes; a clock that is set back never takes any away."""
        seconds = self._seconds_before + (self._clock() - self._opened if self._lock else 0.0)
        return max(seconds, self._manifest.get("seconds", 0.0))

    def update_manifest(self, **fields: Any) -> None:
        """Sets these fields, and `seconds` to the present.

        Raises:
            MachineError: the disk refuses; the manifest on it is the old one.
        """
        assert self._lock, "only the process that opened a run writes its manifest"
        manifest = to_json({**self._manifest, "seconds": round(self.seconds, 3), **fields})
        write_atomically(self.path / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        self._manifest = manifest

    def append_metrics(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Adds one line a record; numbers that are not finite are written as null.

        Raises:
            MachineError: the disk refuses; the lines before are intact.
        """
        lines = "".join(_line(record) for record in records)
        with writing(self.path / METRICS), (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            sync(file.fileno())

    def rewind_metrics(self, update: int) -> None:
        """Drops the records after this update and a line that was torn by a kill, all in one step."""
        if (self.path / METRICS).exists():
            kept = [record for record in self._records() if record["update"] <= update]
            write_atomically(self.path / METRICS, "".join(map(_line, kept)))

    def metrics(self) -> list[dict[str, Any]]:
        """The logged records, oldest first; a line still being written is left out."""
        return list(self._records()) if (self.path / METRICS).exists() else []

    def read_json(self, name: str) -> Any:
        """The value of a JSON file in the run's folder.

        Raises:
            UserError: it is missing or damaged.
        """
        return _read_json(self.path / name)

    def close(self, status: Status | None = None) -> None:
        """Records how the run ended, if given, and lets other processes open it."""
        if self._lock is None:
            return
        try:
            if status:
                self.update_manifest(status=status, ended=self._now())
        finally:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Closes as done, interrupted or failed; a disk that fails again does not hide the first failure."""
        if kind is None:
            self.close("done")
        else:
            with suppress(MachineError):
                self.close("interrupted" if issubclass(kind, KeyboardInterrupt) else "failed")

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")

    def _records(self) -> Iterator[dict[str, Any]]:
        path = self.path / METRICS
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if isinstance(record, dict) and isinstance(record.get("update"), int):
                yield record
            elif number < len(lines):  # the last piece is empty, or torn, or still being written
                logger.warning("%s: line %d is damaged and was skipped", path, number)


def run_folder(path: Path) -> Path:
    """The folder of the run that a path leads to, or to a checkpoint, or the folder of all checkpoints, of."""
    if (path / MANIFEST).exists():
        return path
    near = [folder for given in (path, path.resolve()) for folder in (given, given.parent)]
    return next((folder.parent for folder in near if folder.name == CHECKPOINTS), path)


def _plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec as its file gives it back."""
    return load_yaml(dump_yaml(dict(spec)), SPEC, "a mapping")


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(to_json(record)) + "\n"


def _refuse_what_is_no_run(path: Path) -> None:
    advice = "choose another folder with --out"
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: got a file; expected a run directory or none; {advice}")
    if path.is_dir() and not (path / MANIFEST).exists():
        names = sorted(entry.name for entry in path.iterdir())
        if others := [name for name in names if name not in (SPEC, LOG) and not name.startswith(".")]:
            found = ", ".join(others[:3])
            raise UserError(f"{path}: got a folder with {found}; expected a run directory or none; {advice}")


def _refuse_links_out_of(path: Path) -> None:
    """Raises UserError where a symbolic link, perhaps in a run of somebody else's, would have icrl write elsewhere."""
    inside = os.path.realpath(path)
    for folder in (path, path / CHECKPOINTS):
        for entry in folder.iterdir() if folder.is_dir() else ():
            target = Path(os.path.realpath(entry))
            if entry.is_symlink() and not target.is_relative_to(inside):
                raise UserError(
                    f"{entry}: got a link to {target}; expected no link out of a run directory; "
                    "put what it points to in its place"
                )


def _lock(path: Path) -> IO[str]:
    """The folder's lock: held while the file is open, hence given up when the process dies in any way."""
    with writing(path / LOCK):
        file = (path / LOCK).open("a+", encoding="utf-8")
        try:
            _lock_alone(file)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        except BlockingIOError:
            file.seek(0)
            owner = file.read() or "another process"
            file.close()
            raise UserError(f"{path}: is open in {owner}; wait for it, or choose another --out") from None
        except BaseException:
            file.close()
            raise
    return file


def _lock_alone(file: IO[str]) -> None:
    """Raises BlockingIOError where another process has the lock; warns where there are no locks to have."""
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        logger.warning(
            "%s: there are no locks here (%s); let no second process train in this folder", file.name, error.strerror
        )


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        raise UserError(f"{path}: got no {MANIFEST} in it; expected a run directory, made by `icrl train`")
    manifest = _read_json(file)
    layout = manifest.get("layout") if isinstance(manifest, dict) else None
    if layout != LAYOUT:
        advice = "use the version of icrl that made the run"
        raise UserError(f"{file}: got layout {layout}; expected {LAYOUT}; {advice}")
    wrong = [name for name, kind in FIELDS.items() if not _is(manifest.get(name), kind)]
    if wrong or not is_file_name(manifest["id"]):
        raise UserError(
            f"{file}: is damaged ({', '.join(wrong or ['id'])}); restore it, or start anew in another folder with --out"
        )
    return manifest


def _is(value: Any, kind: Any) -> bool:
    """Whether a value from JSON is of this kind, and, if it is a number, finite and not below 0."""
    if not isinstance(value, kind) or isinstance(value, bool):
        return False
    return isinstance(value, str) or 0 <= value <= sys.float_info.max


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a JSON file") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: is damaged ({error}); restore it, or start anew in another folder with --out"
        ) from error
