import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from icrl.errors import MachineError, UserError
from icrl.runs import directory
from icrl.runs.directory import RunDirectory

SPEC = {"name": "memory", "learner": {"learning_rate": 3e-5, "clip": 0.2}, "models": ["s5", "gru"]}
COMMAND = ["icrl", "train", "memory length.yaml"]

HOLD_THE_LOCK = """
import sys, time
from pathlib import Path
from icrl.runs.directory import RunDirectory
run = RunDirectory.open(Path(sys.argv[1]), {"name": "memory"}, ["icrl"])
print("open", flush=True)
time.sleep(60)
"""


class Clock:
    """A clock that only moves when told to."""

    def __init__(self, now: float = 1.7e9):
        self.now = now

    def __call__(self) -> float:
        return self.now


def open_run(path: Path, spec=SPEC, **options) -> RunDirectory:
    return RunDirectory.open(path, spec, COMMAND, **options)


def files(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.name != ".lock"}


# Opening


def test_a_new_run_keeps_its_spec_and_says_what_made_it(tmp_path: Path):
    with open_run(tmp_path / "a" / "run") as run:
        assert run.spec == SPEC
        manifest = RunDirectory.read(run.path).manifest
    assert manifest["command"] == "icrl train 'memory length.yaml'"
    assert manifest["status"] == "running"
    assert manifest["num_resumes"] == 0
    assert {"icrl", "jax", "jaxlib", "wandb"} <= manifest["versions"].keys()
    assert manifest["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"platform", "git_commit", "started", "seconds", "id"} <= manifest.keys()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, None])
def test_where_there_are_no_locks_a_run_is_opened_with_a_warning(tmp_path: Path, number, monkeypatch, caplog):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(directory, "fcntl", number and SimpleNamespace(flock=refuse, LOCK_EX=0, LOCK_NB=0))
    for status in ("running", "done"):  # the second time it resumes
        with open_run(tmp_path) as run:
            assert run.manifest["status"] == "running"
        assert RunDirectory.read(tmp_path).manifest["status"] == "done", status
    assert f"{tmp_path / '.lock'}: there are no locks here" in caplog.text


def test_the_same_spec_resumes_the_run_and_keeps_its_identity(tmp_path: Path):
    with open_run(tmp_path) as run:
        first = run.manifest
    with open_run(tmp_path) as run:
        second = run.manifest
    assert (second["id"], second["started"]) == (first["id"], first["started"])
    assert second["num_resumes"] == 1
    assert second["status"] == "running"


def test_seconds_accumulate_over_resumes(tmp_path: Path):
    clock = Clock()
    for seconds in (10.0, 5.0):
        run = open_run(tmp_path, clock=clock)
        clock.now += seconds
        run.close("interrupted")
        clock.now += 1000.0
    assert RunDirectory.read(tmp_path).manifest["seconds"] == 15.0
    assert RunDirectory.read(tmp_path).seconds == 15.0


def test_a_clock_that_is_set_back_takes_no_seconds_away_and_stops_nothing(tmp_path: Path):
    clock = Clock()
    with open_run(tmp_path, clock=clock) as run:
        clock.now += 20.0
        run.update_manifest(devices=["cpu:0"])
        clock.now -= 86_400.0
        run.append_metrics([{"update": 1}])
        run.update_manifest(devices=["cpu:0"])
        assert run.seconds == 20.0
    clock.now -= 86_400.0
    with open_run(tmp_path, clock=clock) as run:
        clock.now += 1.0
        assert run.seconds == 21.0
    assert RunDirectory.read(tmp_path).metrics() == [{"update": 1}]
    assert RunDirectory.read(tmp_path).manifest["status"] == "done"


def test_another_spec_is_refused_field_by_field_and_changes_nothing(tmp_path: Path):
    open_run(tmp_path).close("done")
    before = files(tmp_path)
    with pytest.raises(UserError, match=r"learner\.learning_rate: .*3e-05.*0\.001.*") as error:
        open_run(tmp_path, {**SPEC, "learner": {"learning_rate": 1e-3, "clip": 0.2}})
    assert "--out" in str(error.value)
    assert "clip" not in str(error.value)
    assert files(tmp_path) == before
    open_run(tmp_path).close()  # the refusal holds no lock


def test_a_change_that_does_not_matter_becomes_the_run_s_spec_and_one_that_does_is_refused(tmp_path: Path):
    open_run(tmp_path).close("done")

    def changes(old, new):
        return [] if old["name"] == new["name"] else ["name: changed"]

    open_run(tmp_path, {**SPEC, "keep": 1}, changes=changes).close("done")
    with pytest.raises(UserError, match="name: changed"):
        open_run(tmp_path, {**SPEC, "name": "other"}, changes=changes)
    assert RunDirectory.read(tmp_path).spec == {**SPEC, "keep": 1}


def test_a_run_resumed_with_other_software_is_warned_of(tmp_path: Path, caplog, monkeypatch):
    open_run(tmp_path).close("done")
    made_with = {**directory.provenance(), "python": "4.0.0"}
    monkeypatch.setattr(directory, "provenance", lambda: made_with)
    open_run(tmp_path).close("done")
    assert "resumed with other software" in caplog.text
    assert "4.0.0" in caplog.text
    assert RunDirectory.read(tmp_path).manifest["python"] == "4.0.0"


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(UserError, match=r"got a folder with thesis\.tex.*--out"):
        open_run(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="got a file"):
        open_run(tmp_path / "run")


def test_a_run_killed_before_its_manifest_was_written_starts_anew(tmp_path: Path):
    (tmp_path / "spec.yaml").write_text("half: writ")
    (tmp_path / ".lock").write_text("process 1 on a machine that is gone")
    with open_run(tmp_path) as run:
        assert run.spec == SPEC


@pytest.mark.parametrize("opener", [open_run, RunDirectory.read], ids=["open", "read"])
@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("", "is damaged"),
        ('{"layout": 1, "comm', "is damaged"),
        ("[]", "got layout None; expected 1"),
        ('{"layout": 2}', "got layout 2; expected 1; use the version"),
    ],
)
def test_an_unknown_manifest_is_refused(tmp_path: Path, opener, manifest: str, message: str):
    open_run(tmp_path).close("done")
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(UserError, match=message):
        opener(tmp_path)


def test_reading_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="expected a run directory"):
        RunDirectory.read(tmp_path)


def test_a_checkpoint_belongs_to_its_run_however_its_path_is_written(tmp_path: Path, monkeypatch):
    run = tmp_path / "checkpoints"  # a run may be called that too
    open_run(run).close("done")
    (run / "checkpoints" / "12").mkdir(parents=True)
    for path in (run, run / "checkpoints", run / "checkpoints" / "12"):
        assert RunDirectory.read(path).path == run
    (tmp_path / "best").symlink_to(run / "checkpoints" / "12")
    assert RunDirectory.read(tmp_path / "best").path == run
    for folder, paths in {
        run: ["checkpoints/12"],
        run / "checkpoints": ["12", "."],
        run / "checkpoints" / "12": ["."],
    }.items():
        monkeypatch.chdir(folder)
        for path in paths:
            assert RunDirectory.read(Path(path)).path.resolve() == run


# The lock


def test_a_second_process_is_refused_at_once_and_told_the_first_ones_pid_until_that_is_killed(tmp_path: Path):
    first = subprocess.Popen([sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "open\n"
        with pytest.raises(UserError, match=rf"is open in process {first.pid} on "):
            open_run(tmp_path, {"name": "memory"})
        assert RunDirectory.read(tmp_path).manifest["status"] == "running"  # looking is allowed
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    with open_run(tmp_path, {"name": "memory"}) as run:
        assert run.manifest["num_resumes"] == 1


def test_a_child_that_outlives_the_run_does_not_keep_it_locked(tmp_path: Path):
    run = open_run(tmp_path)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)  # as W&B's service does
    try:
        run.close("done")
        open_run(tmp_path).close()
    finally:
        child.kill()
        child.wait()


# The manifest


def test_the_manifest_is_replaced_in_one_step(tmp_path: Path, monkeypatch):
    run = open_run(tmp_path)
    before = files(tmp_path)

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        run.update_manifest(devices=["cpu:0"])
    assert files(tmp_path) == before
    monkeypatch.undo()
    run.update_manifest(devices=["cpu:0"])
    assert RunDirectory.read(tmp_path).manifest["devices"] == ["cpu:0"]
    run.close()


@pytest.mark.parametrize(
    ("error", "status"), [(None, "done"), (KeyboardInterrupt, "interrupted"), (ValueError, "failed")]
)
def test_leaving_records_how_the_run_ended_and_unlocks_it(tmp_path: Path, error, status: str):
    try:
        with open_run(tmp_path):
            if error:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    manifest = RunDirectory.read(tmp_path).manifest
    assert manifest["status"] == status
    assert manifest["ended"] >= manifest["started"]
    open_run(tmp_path).close()


def test_a_full_disk_while_leaving_does_not_hide_the_first_failure(tmp_path: Path, full_disk):
    run = open_run(tmp_path)
    with pytest.raises(ValueError, match="the first failure"), full_disk(), run:
        raise ValueError("the first failure")


# Metrics and other files


def test_metrics_come_back_as_logged_and_not_finite_numbers_as_null(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.append_metrics([{"update": 1, "loss": 0.1 + 0.2, "nested": {"a": [math.inf, 1]}}])
        run.append_metrics([{"update": np.int32(2), "loss": np.float32("nan")}, {"update": 3, "loss": None}])
    assert RunDirectory.read(tmp_path).metrics() == [
        {"update": 1, "loss": 0.1 + 0.2, "nested": {"a": [None, 1]}},
        {"update": 2, "loss": None},
        {"update": 3, "loss": None},
    ]


def test_rewinding_drops_later_records_and_a_torn_line_so_that_logging_goes_on_cleanly(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.append_metrics([{"update": update, "loss": update / 3} for update in (1, 2, 2, 3, 4)])
        with (tmp_path / "metrics.jsonl").open("a") as file:
            file.write('{"update": 2, "lo')
        assert [record["update"] for record in run.metrics()] == [1, 2, 2, 3, 4]
        run.rewind_metrics(2)
        run.append_metrics([{"update": 3, "loss": 1.0}])
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [1, 2, 2, 3]
    assert json.loads(lines[1])["loss"] == 2 / 3


def test_rewinding_is_one_step(tmp_path: Path, full_disk):
    with open_run(tmp_path) as run:
        run.append_metrics([{"update": 1}, {"update": 2}])
        before = (tmp_path / "metrics.jsonl").read_bytes()
        with full_disk(), pytest.raises(MachineError):
            run.rewind_metrics(1)
        assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_rewinding_to_the_start_empties_the_metrics_and_needs_none(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.rewind_metrics(0)
        assert run.metrics() == []
        run.append_metrics([{"update": 1}])
        run.rewind_metrics(0)
        assert run.metrics() == []


def test_a_damaged_line_among_the_metrics_is_skipped_with_a_warning_that_names_it(tmp_path: Path, caplog):
    with open_run(tmp_path) as run:
        run.append_metrics([{"update": 1}, {"update": 2}, {"update": 3}])
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"update": 2}', b'{"upd\xff'))
    assert RunDirectory.read(tmp_path).metrics() == [{"update": 1}, {"update": 3}]
    assert f"{path}: line 2 is damaged" in caplog.text


def test_a_full_disk_while_logging_says_what_was_written_and_what_to_do(tmp_path: Path, full_disk):
    with open_run(tmp_path) as run:
        run.append_metrics([{"update": 1}])
        with full_disk(), pytest.raises(MachineError) as error:
            run.append_metrics([{"update": update} for update in range(2, 10)])
        assert "metrics.jsonl: could not be written" in str(error.value)
        assert "free some space and run the same command again" in str(error.value)
        run.rewind_metrics(1)
        assert run.metrics() == [{"update": 1}]


def test_json_files_come_back_and_a_missing_or_damaged_one_is_the_users_to_repair(tmp_path: Path):
    with open_run(tmp_path) as run:
        (tmp_path / "evaluation.json").write_text('{"seeds": [0, 1]}')
        assert run.read_json("evaluation.json") == {"seeds": [0, 1]}
        (tmp_path / "evaluation.json").write_text("{")
        with pytest.raises(UserError, match=r"evaluation\.json: is damaged"):
            run.read_json("evaluation.json")
        with pytest.raises(UserError, match=r"other\.json: cannot be read"):
            run.read_json("other.json")
