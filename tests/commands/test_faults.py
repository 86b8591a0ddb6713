"""Faults of the machine while a run trains: what the user sees, what is left, and that nothing acknowledged is lost."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

import jax
import pytest

from icrl.commands.train import Training
from icrl.runs.checkpoints import Checkpoints
from icrl.runs.directory import RunDirectory
from icrl.runs.trackers import MemoryTracker
from tests.commands.conftest import Finished
from tests.commands.runs import (
    NUM_UPDATES,
    ROOT,
    STAND_IN,
    TINY,
    UPDATES_PER_CHUNK,
    icrl,
    manifest,
    metrics,
    newest_state,
    numbers,
    start_process,
    train,
    updates_saved,
)
from tests.disks import fill, full_disk, mounted

TRACKER = "icrl.commands.train.WandbTracker"
OUT_OF_MEMORY = (
    "icrl train: out of memory; lower num_rows, num_seeds, learner.rollout_steps or model.width "
    "(as in `icrl train SPEC num_rows=32`), or choose a smaller --scale"
)


@contextmanager
def before_call(number: int, owner: type, method: str, act: Callable[[], object]) -> Iterator[None]:
    """Something happens just before a method is called for so many times."""
    whole, calls = getattr(owner, method), count(1)

    def call(self, *args, **kwargs):
        if next(calls) == number:
            act()
        return whole(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, method, call)
        yield


@pytest.fixture(autouse=True)
def nothing_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults of training are over when it ends; evaluating would take as long again."""
    monkeypatch.setattr("icrl.commands.train._evaluate", lambda *_: None)


def same_as_uninterrupted(run: Path, finished: Finished) -> bool:
    return numbers(run) == numbers(finished.path) and newest_state(run) == newest_state(finished.path)


# ---- The disk


def test_a_disk_that_fills_up_during_a_checkpoint_loses_nothing_that_was_saved(finished: Finished, tmp_path: Path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=16m", "icrl") as disk:
        run = disk / "run"
        with before_call(3, Checkpoints, "save", lambda: fill(disk)):
            stopped = train(run)
        assert (stopped.exit_code, stopped.stdout) == (1, "")
        assert stopped.stderr.splitlines()[-1] == (
            f"icrl train: {run}/checkpoints/6: could not be written (No space left on device); "
            "what was written before is intact; free some space and run the same command again"
        )
        assert max(updates_saved(run)) == 4
        assert numbers(run) == numbers(finished.path)[:3]
        (disk / "ballast").unlink()
        resumed = train(run)
        assert resumed.exit_code == 0, resumed.stderr
        assert "resuming     from update 4 of 16" in resumed.stderr
        assert same_as_uninterrupted(run, finished)


def test_a_disk_that_fills_up_within_a_log_line_loses_no_line_before_it(finished: Finished, tmp_path: Path):
    run, append = tmp_path / "run", RunDirectory.append_metrics

    def append_to_a_full_disk(self: RunDirectory, records: list) -> None:
        log = self.path / "metrics.jsonl"
        room = log.stat().st_size + 50 if len(self.metrics()) == 2 else 2**30
        with full_disk(room):
            append(self, records)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "append_metrics", append_to_a_full_disk)
        stopped = train(run)
    assert (stopped.exit_code, stopped.stdout) == (1, "")
    assert f"{run}/metrics.jsonl: could not be written (File too large); what was written before" in stopped.stderr
    assert (manifest(run)["status"], max(updates_saved(run))) == ("failed", 4)
    lines = (run / "metrics.jsonl").read_text().split("\n")
    assert len(lines) == 3 and len(lines[2]) == 50  # the third is torn
    assert train(run).exit_code == 0
    assert same_as_uninterrupted(run, finished)


def test_a_read_only_folder_is_told_before_anything_is_compiled(tmp_path: Path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "icrl") as disk:
        refused = train(disk / "run")
        assert (refused.exit_code, list(disk.iterdir())) == (1, [])
    assert refused.stderr == (
        f"icrl train: {disk}/run: could not be written (Read-only file system); "
        "make the folder writable, or choose another one with --out\n"
    )


def test_a_read_only_run_is_not_resumed_but_can_be_evaluated(finished: Finished, tmp_path: Path):
    with mounted(tmp_path / "disk", "--bind", "-o", "ro", str(finished.path)) as run:
        if os.access(run, os.W_OK):
            pytest.skip("bind mounts cannot be made read-only here")
        refused = train(run)
        assert refused.exit_code == 1
        assert "(Read-only file system); make the folder writable, or choose another one with --out" in refused.stderr
        done = icrl("evaluate", run, "--tasks", "train", "--out", tmp_path / "out")
        assert done.exit_code == 0, done.stderr
    assert (tmp_path / "out" / "evaluation.json").exists()


def test_a_folder_below_a_file_cannot_hold_a_run(tmp_path: Path):
    (tmp_path / "file").touch()
    refused = train(tmp_path / "file" / "run")
    assert refused.exit_code == 1
    assert "could not be written (Not a directory); choose another folder with --out" in refused.stderr


def test_a_run_in_a_folder_named_like_a_pattern_trains_resumes_and_is_evaluated(finished: Finished, tmp_path: Path):
    run = tmp_path / "a [b]" / "*? {x} 50%#"
    with before_call(3, RunDirectory, "append_metrics", lambda: signal.raise_signal(signal.SIGINT)):
        assert train(run).exit_code == 130
    assert train(run).exit_code == 0
    assert same_as_uninterrupted(run, finished)
    for path in (run, run / "checkpoints" / str(NUM_UPDATES)):
        done = icrl("evaluate", path, "--tasks", "train", "--episodes", "1", "--out", tmp_path / "out")
        assert done.exit_code == 0, done.stderr


# ---- Damage


def truncate(checkpoint: Path) -> None:
    largest = max((file for file in checkpoint.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)


def corrupt(checkpoint: Path) -> None:
    content = (checkpoint / "metadata.json").read_bytes()
    (checkpoint / "metadata.json").write_bytes(content.replace(b"1", b"2", 1))


def half_delete(checkpoint: Path) -> None:
    (checkpoint / "arrays.zip").unlink()


def test_a_damaged_newest_checkpoint_costs_the_updates_since_the_one_before_and_is_named(
    finished: Finished, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run = Path(shutil.copytree(finished.path, tmp_path / "run"))
    newest, before = run / "checkpoints" / str(NUM_UPDATES), NUM_UPDATES - UPDATES_PER_CHUNK
    for damage in (truncate, corrupt, half_delete):
        damage(newest)
        caplog.clear()
        resumed = train(run)
        assert resumed.exit_code == 0, resumed.stderr
        assert [f"{newest}: the checkpoint cannot be read: " in caplog.text, "Traceback" in caplog.text] == [
            True,
            False,
        ]
        assert f"resuming     from update {before} of {NUM_UPDATES}" in resumed.stderr
        assert same_as_uninterrupted(run, finished), damage


# ---- Memory


def out_of_memory(*_: object, **__: object) -> None:
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 137438953472 bytes.")


@contextmanager
def without_memory_to_compile() -> Iterator[None]:
    with before_call(1, jax.stages.Lowered, "compile", out_of_memory):
        yield


@contextmanager
def without_memory_in_the_third_chunk() -> Iterator[None]:
    compile_chunk = Training._compile

    def with_a_chunk_that_fails(self, *args):
        state, run_chunk = compile_chunk(self, *args)
        calls = count(1)

        class Chunk:
            def __call__(self, state):
                return out_of_memory() if next(calls) == 3 else run_chunk(state)

            def __getattr__(self, name):
                return getattr(run_chunk, name)

        return state, Chunk()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_compile", with_a_chunk_that_fails)
        yield


@pytest.mark.parametrize(
    ("fault", "saved"),
    [(without_memory_to_compile, []), (without_memory_in_the_third_chunk, [4])],
    ids=["compiling", "in a chunk"],
)
def test_running_out_of_memory_names_the_sizes_to_lower(
    fault: Callable[[], AbstractContextManager[None]], saved: list[int], tmp_path: Path
):
    with fault():
        stopped = train(tmp_path / "run")
    assert (stopped.exit_code, stopped.stdout) == (1, "")
    assert stopped.stderr.splitlines()[-1] == OUT_OF_MEMORY
    assert (manifest(tmp_path / "run")["status"], updates_saved(tmp_path / "run")[-1:]) == ("failed", saved)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux to limit another process's memory")
def test_a_process_without_memory_for_its_batch_says_so(tmp_path: Path):
    rows, steps = 64, 2**23  # 20 GB of observations alone
    sizes = (f"num_rows={rows}", f"learner.rollout_steps={steps}", f"total_env_steps={2 * rows * steps}")
    process = start_process(STAND_IN, "train", TINY, "--out", tmp_path / "run", "--wandb", "disabled", *sizes)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (12 * 2**30, 12 * 2**30))
    stdout, stderr = process.communicate(timeout=900)
    assert (process.returncode, stdout) == (1, "")
    assert stderr.splitlines()[-1] == OUT_OF_MEMORY
    assert manifest(tmp_path / "run")["status"] == "failed"


# ---- W&B, and the clock


def test_a_run_goes_on_without_wandb_when_its_process_and_its_folder_vanish(finished: Finished, tmp_path: Path):
    process = start_process(STAND_IN, "train", TINY, "--out", tmp_path / "run", DIE="only_wandb")
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == 0, stderr
    assert stderr.count("W&B failed for seed 0 (") == 1, stderr
    assert "Traceback" not in stderr
    assert manifest(tmp_path / "run")["status"] == "done"
    assert same_as_uninterrupted(tmp_path / "run", finished)


# ---- The environment and the terminal

OTHER_NUMERICS = {
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_ENABLE_X64": "1",
    "JAX_ENABLE_CUSTOM_PRNG": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_RANDOM_SEED_OFFSET": "3",
    "JAX_THREEFRY_PARTITIONABLE": "0",
}


def test_the_environment_changes_no_number(finished: Finished, tmp_path: Path):
    process = start_process(STAND_IN, "train", TINY, "--out", tmp_path / "run", "--wandb", "disabled", **OTHER_NUMERICS)
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == 0, stderr
    for name in OTHER_NUMERICS:
        assert stderr.count(f"{name}: is ignored; icrl computes with ") == 1, stderr
    assert same_as_uninterrupted(tmp_path / "run", finished)
    numerics = manifest(tmp_path / "run")["numerics"]
    assert (numerics["jax_default_prng_impl"], numerics["jax_enable_x64"]) == ("threefry2x32", False)


ON_A_TERMINAL_OF_ITS_OWN = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_closed_terminal_ends_a_run_after_a_checkpoint(tmp_path: Path):
    run, (ours, its) = tmp_path / "run", os.openpty()
    arguments = ["train", TINY, "--out", run, "--wandb", "disabled", "total_env_steps=3200000"]
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL_OF_ITS_OWN, "-m", STAND_IN, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=its,
        text=True,
    )
    os.close(its)
    said = b""
    while not (run / "metrics.jsonl").exists():
        said += os.read(ours, 4096)  # raises OSError if the process ended
    os.close(ours)
    stdout, _ = process.communicate(timeout=300)
    assert (process.returncode, stdout) == (130, ""), said
    assert manifest(run)["status"] == "interrupted"
    assert updates_saved(run)[-1] == metrics(run)[-1]["update"]


# ---- Endurance


class Counting(MemoryTracker):
    """Counts, at every log line, what a leak would let grow."""

    found: list[tuple[int, int, int]]

    def log(self, record) -> None:
        super().log(record)
        live = sum(array.nbytes for array in jax.live_arrays())
        self.found.append((live, len(jax.live_arrays()), len(os.listdir("/proc/self/fd"))))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_neither_arrays_nor_open_files_nor_checkpoints_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Counting, "found", [], raising=False)
    monkeypatch.setattr(TRACKER, lambda *_, **__: Counting())
    longer = f"total_env_steps={2 * 512}"
    assert train(tmp_path / "run", longer).exit_code == 0
    assert len(Counting.found) == 2 * NUM_UPDATES // UPDATES_PER_CHUNK
    assert len(set(Counting.found[2:])) == 1, Counting.found
    assert len(updates_saved(tmp_path / "run")) <= 3  # checkpoint.keep of the newest, and the best
    assert len(metrics(tmp_path / "run")) == len(Counting.found)
    memory = manifest(tmp_path / "run")["memory"]
    assert memory["first"]["live_array_bytes"] == memory["last"]["live_array_bytes"]
    assert memory["first"]["resident_bytes"] > 0
