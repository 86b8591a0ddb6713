"""Damage to what lies in a run directory, at volume: it is refused by name, skipped, or fallen back from."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrl.errors import IcrlError, UserError
from icrl.runs import directory
from icrl.runs.checkpoints import Checkpoint, Checkpoints
from icrl.runs.directory import RunDirectory
from tests.mutations import cases, mutated, mutated_bytes

SPEC = {"name": "memory", "learner": {"learning_rate": 3e-5}}
MANIFEST = {
    "seconds": 12.5,
    "layout": 1,
    "id": "1a2b3c4d",
    "command": "icrl train memory",
    "status": "done",
    "started": "2026-01-01T00:00:00+00:00",
    "ended": "2026-01-01T00:00:13+00:00",
    "num_resumes": 1,
    "versions": {"icrl": "1.0", "jax": "0.10"},
    "python": "3.11.1",
    "platform": "Linux",
    "git_commit": None,
    "devices": ["cpu:0"],
}
RECORDS = [{"update": update, "env_steps": 100 * update, "seconds": update / 4, "seed": 0} for update in range(1, 6)]
LINES = [json.dumps(record).encode() for record in RECORDS]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a run whose spec is SPEC, with five log lines."""
    made_with = {key: MANIFEST[key] for key in ("versions", "python", "platform", "git_commit")}
    monkeypatch.setattr(directory, "provenance", lambda: made_with)
    with RunDirectory.open(tmp_path, SPEC, ["icrl"]) as run:
        run.append_metrics(RECORDS)
    return tmp_path


def read_and_resume(run: Path, manifest: bytes) -> None:
    """Both succeed, or both refuse and change nothing."""
    file = run / "manifest.json"
    file.write_bytes(manifest)
    try:
        kept = RunDirectory.read(run)
        assert kept.seconds >= 0
    except UserError as error:
        assert str(file) in str(error)
        with pytest.raises(UserError):
            RunDirectory.open(run, SPEC, ["icrl"])
        assert file.read_bytes() == manifest
    else:
        with RunDirectory.open(run, SPEC, ["icrl"]) as resumed:
            assert resumed.manifest["num_resumes"] == kept.manifest["num_resumes"] + 1
            assert (resumed.manifest["id"], resumed.seconds >= kept.seconds) == (kept.manifest["id"], True)


@cases(200)
@given(mutated(MANIFEST))
def test_a_manifest_with_other_values_is_refused_or_resumed(run: Path, manifest: Any):
    read_and_resume(run, json.dumps(manifest).encode())


@cases(100)
@given(mutated_bytes(json.dumps(MANIFEST, indent=2).encode()))
def test_a_manifest_with_other_bytes_is_refused_or_resumed(run: Path, manifest: bytes):
    read_and_resume(run, manifest)


@cases(100)
@given(mutated_bytes(b"name: memory\nlearner: {learning_rate: 0.00003}\n"))
def test_a_kept_spec_with_other_bytes_is_refused_or_the_same(run: Path, spec: bytes):
    (run / "spec.yaml").write_bytes(spec)
    try:
        RunDirectory.open(run, SPEC, ["icrl"]).close("done")
    except UserError as error:
        assert str(run) in str(error)
    else:
        assert RunDirectory.read(run).spec == SPEC


@cases(200)
@given(mutated_bytes(b"\n".join(LINES) + b"\n"), st.integers(0, 6))
def test_damaged_metrics_lose_no_line_that_is_whole(run: Path, log: bytes, update: int):
    (run / "metrics.jsonl").write_bytes(log)
    whole = [RECORDS[LINES.index(line)] for line in log.split(b"\n") if line in LINES]
    with RunDirectory.open(run, SPEC, ["icrl"]) as opened:
        assert [record for record in opened.metrics() if record in whole] == whole
        opened.rewind_metrics(update)
        kept = opened.metrics()
    assert all(record["update"] <= update for record in kept)
    assert [record for record in whole if record["update"] <= update] == [record for record in kept if record in whole]


# ---- Checkpoints


def state(update: int) -> dict[str, np.ndarray]:
    return {"params.kernel": np.full((3, 2), update, np.float32), "count": np.array(update, np.int32)}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints."""
    path = tmp_path_factory.mktemp("checkpoints")
    for update in (1, 2):
        Checkpoints(path).save(update, state(update), float(update), {"env_steps": 100 * update, "spec": SPEC})
    return path


@pytest.fixture
def newest(two: Path) -> Iterator[Path]:
    """The newer of the two, whole again afterwards."""
    files = {name: (two / "2" / name).read_bytes() for name in ("metadata.json", "checksums.json")}
    yield two / "2"
    for name, content in files.items():
        (two / "2" / name).write_bytes(content)


DESCRIPTION = {
    "update": 2,
    "best_score": 2.0,
    "metadata": {"env_steps": 200, "spec": SPEC},
    "leaves": {"count": "int32[]", "params.kernel": "float32[3,2]"},
    "weakly_typed": [],
}


OLDER = {"update": 1, "best_score": 1.0, "metadata": {"env_steps": 100, "spec": SPEC}}


def write_description(newest: Path, content: bytes) -> None:
    """As if it had been saved so: its checksum is right."""
    checksums = json.loads((newest / "checksums.json").read_bytes())
    (newest / "metadata.json").write_bytes(content)
    (newest / "checksums.json").write_text(json.dumps({**checksums, "metadata.json": zlib.crc32(content)}))


@cases(250)
@given(mutated(DESCRIPTION))
def test_metadata_with_other_values_and_the_right_checksum_is_fallen_back_from_or_used(newest: Path, value):
    write_description(newest, json.dumps(value).encode())
    found = Checkpoint.newest(newest.parent)
    expected = value if found.description["update"] == 2 else {**DESCRIPTION, **OLDER}
    assert json.dumps(found.description) == json.dumps(expected)  # in which NaN is equal to itself


@cases(100)
@given(mutated_bytes(json.dumps(DESCRIPTION).encode()))
def test_metadata_with_other_bytes_is_fallen_back_from(newest: Path, content: bytes):
    (newest / "metadata.json").write_bytes(content)
    assert Checkpoint.newest(newest.parent).description["update"] == (
        2 if content == json.dumps(DESCRIPTION).encode() else 1
    )


@cases(40)
@given(mutated(DESCRIPTION))
def test_a_state_is_restored_or_refused_whatever_its_metadata_says(newest: Path, value: Any):
    write_description(newest, json.dumps(value).encode())
    try:
        _, restored = Checkpoints(newest.parent).restore(state(0))
    except IcrlError:
        return
    assert any(np.array_equal(restored["params.kernel"], state(update)["params.kernel"]) for update in (1, 2))


@cases(100)
@given(mutated_bytes(b'{"metadata.json": 123, "../1/metadata.json": 5, "/dev/zero": 5, "arrays/d/x": 7}'))
def test_checksums_with_other_bytes_are_fallen_back_from_and_lead_nowhere_else(newest: Path, content: bytes):
    (newest / "checksums.json").write_bytes(content)
    assert Checkpoint.newest(newest.parent).description["update"] == 1
