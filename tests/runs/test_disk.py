import errno
import json
import math
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from icrl.errors import MachineError
from icrl.runs.disk import to_json, write_atomically, writing


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
