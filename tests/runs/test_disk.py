import errno
import json
import math
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from icrl.errors import MachineError
from icrl.runs.checkpoints import Checkpoints
from icrl.runs.disk import _warn_once, to_json, write_atomically, writing


@pytest.fixture(autouse=True)
def nothing_warned_of_yet() -> None:
    _warn_once.cache_clear()


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EROFS, "choose another one with --out"),
        (errno.EACCES, "choose another one with --out"),
        (errno.EIO, "run the same command again"),
    ],
)
def test_every_refusal_of_the_disk_says_what_was_written_why_it_failed_and_what_to_do(number: int, advice: str):
    with pytest.raises(MachineError, match=advice) as error, writing(Path("run/metrics.jsonl")):
        raise OSError(number, os.strerror(number))
    assert str(error.value).startswith(f"run/metrics.jsonl: could not be written ({os.strerror(number)}); ")
    assert error.value.exit_code == 1


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, full_disk):
    path = tmp_path / "manifest.json"
    write_atomically(path, "old")
    with full_disk(), pytest.raises(MachineError):
        write_atomically(path, "longer than ten bytes")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["manifest.json"]
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["manifest.json"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_disk_that_cannot_sync_is_warned_of_once_and_written_to(tmp_path: Path, number: int, monkeypatch, caplog):
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    Checkpoints(tmp_path / "checkpoints").save(1, {"a": np.ones(3)})
    for _ in range(2):
        write_atomically(tmp_path / "file", "content")
    assert (tmp_path / "file").read_text() == "content"
    assert Checkpoints(tmp_path / "checkpoints").restore({"a": np.ones(3)})[0] == 1
    assert caplog.text.count("this disk cannot sync") == 1


def test_a_disk_that_fails_to_sync_is_an_error(tmp_path: Path, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(MachineError, match="Input/output error"):
        write_atomically(tmp_path / "file", "content")
    with pytest.raises(MachineError, match="Input/output error"):
        Checkpoints(tmp_path).save(1, {"a": np.ones(3)})


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EBUSY])
def test_where_nothing_can_be_renamed_it_is_copied(tmp_path: Path, number: int, monkeypatch, caplog):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    for content in ("old", "new"):
        write_atomically(tmp_path / "file", content)
    assert (tmp_path / "file").read_text() == "new"
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for update in (1, 2, 3, 3):
        checkpoints.save(update, {"a": np.full(3, update)})
    assert sorted(path.name for path in checkpoints.path.iterdir()) == ["2", "3"]
    assert checkpoints.restore({"a": np.ones(3, int)})[0] == 3
    assert os.listdir(tmp_path).count("file") == 1 and len(os.listdir(tmp_path)) == 2
    assert "cannot be renamed into place" in caplog.text


def test_values_become_strict_json():
    value = {
        1: np.float32(0.5),
        "arrays": (np.array([[1, 2]]), np.array([np.nan, 1.0]), ml_dtypes.bfloat16(1.5)),
        "numbers": [math.inf, -math.inf, True, np.bool_(False), np.int64(3), None, "text"],
    }
    assert json.loads(json.dumps(to_json(value), allow_nan=False)) == {
        "1": 0.5,
        "arrays": [[[1, 2]], [None, 1.0], 1.5],
        "numbers": [None, None, True, False, 3, None, "text"],
    }
