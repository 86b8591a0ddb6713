import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from icrl.runs.trackers import MemoryTracker

PREAMBLE = """
import sys
from pathlib import Path
from icrl.runs.trackers import WandbTracker

def track(mode="offline", seed=0):
    return WandbTracker(
        mode, directory=Path(sys.argv[1]), project="icrl", group="memory-s5", name="s5", seed=seed,
        run_id="1a2b3c4d", spec={"learner": {"learning_rate": 3e-4}, "models": ["s5"]},
    )
"""

TWO_SEEDS = """
from PIL import Image
Image.new("RGB", (2, 2)).save(FIGURE := Path(sys.argv[1]).with_name("figure.png"))
trackers = [track(seed=seed) for seed in (0, 1)]
for update in (1, 2):
    for seed, tracker in enumerate(trackers):
        tracker.log({"update": update, "env_steps": 100 * update, "return": seed + update / 4})
        tracker.log({"update": update, "env_steps": 100 * update, "evaluation": None, "score": 9.0})
for seed, tracker in enumerate(trackers):
    summary = {"update": 2, "env_steps": 200, "evaluation/score/train/last_trial": seed + 0.5}
    trials = [{"task": "a", "trial": trial, "return": 2.0 * trial, "score": None} for trial in (1, 2)]
    tracker.log_evaluation(summary, trials, {"adaptation": FIGURE})
    tracker.finish()
"""

RESUMED = """
tracker = track()
for update in (2, 3, 2, 3):
    tracker.log({"update": update, "env_steps": 100 * update, "return": float("nan")})
tracker.finish()
"""

SERVICE_DIES = """
import psutil
tracker = track()
tracker.log({"update": 1, "env_steps": 100})
for service in psutil.Process().children():
    service.kill()
    service.wait()
for update in (2, 3, 4):
    tracker.log({"update": update, "env_steps": 100 * update})
tracker.finish()
print("the run went on")
"""

DISABLED = """
tracker = track("disabled")
tracker.log({"update": 1})
tracker.finish()
print("wandb" in sys.modules)
"""

ONLINE = """
from icrl.errors import IcrlError
try:
    track("online")
except IcrlError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def connections() -> Iterator[list[bytes]]:
    """What reaches a proxy that the processes of a test are told to use."""
    seen: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                seen.append(connection.recv(200))

    threading.Thread(target=serve, daemon=True).start()
    proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            patch.setenv(name, proxy)
        yield seen
    server.close()


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory, connections: list[bytes]) -> Path:
    """The directory of a run that tracked two seeds, and said and reached nothing."""
    directory = tmp_path_factory.mktemp("home") / "run"
    done = run(TWO_SEEDS, directory)
    assert (done.stdout, done.stderr, connections) == ("", "", [])
    return directory


def run(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    directory.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    nobody = {"HOME": str(directory.parent), "NETRC": "/nowhere", "WANDB_BASE_URL": "http://wandb.invalid"}
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + script, directory],
        env={**environment, **nobody},
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )


def records(file: Path) -> Iterator:
    """The records of a `.wandb` file: protobufs, cut into the pieces of a LevelDB log of 32 KiB blocks."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, payload = file.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    while position < len(data):
        left_in_block = -position % 2**15 or 2**15
        if left_in_block < 7:
            position += left_in_block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        payload += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(payload)
            payload = b""


def wandb_run(file: Path):
    return next(record.run for record in records(file) if record.HasField("run"))


def history(file: Path) -> list[dict[str, str]]:
    return [
        {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
        for record in records(file)
        if record.HasField("history")
    ]


def summarized(record) -> Iterator[tuple[str, str]]:
    """What a record adds to the run's summary."""
    yield from ((item.key or ".".join(item.nested_key), item.value_json) for item in record.summary.update)


def wandb_files(directory: Path, seed: int) -> list[Path]:
    return sorted(directory.glob(f"wandb/offline-run-*/run-1a2b3c4d-seed{seed}.wandb"))


def test_two_seeds_are_two_wandb_runs_of_one_group_made_without_account_network_or_noise(two_seeds: Path):
    for seed in (0, 1):
        (file,) = wandb_files(two_seeds, seed)
        started = wandb_run(file)
        assert (started.project, started.run_group) == ("icrl", "memory-s5")
        assert (started.run_id, started.display_name) == (f"1a2b3c4d-seed{seed}", f"s5-seed{seed}")
        config = {item.key: item.value_json for item in started.config.update}
        assert config["seed"] == str(seed)
        assert config["learner"] == '{"learning_rate":0.0003}'
        rows = history(file)
        assert [row["env_steps"] for row in rows] == ["100", "200"]
        assert [row["return"] for row in rows] == [str(seed + 0.25), str(seed + 0.5)]
        assert [row["score"] for row in rows] == ["9", "9"]


def test_an_evaluation_is_numbers_in_the_summary_a_table_of_trials_and_figures(two_seeds: Path):
    for seed in (0, 1):
        (file,) = wandb_files(two_seeds, seed)
        *_, row = history(file)
        assert (row["env_steps"], row["evaluation/score/train/last_trial"]) == ("200", str(seed + 0.5))
        summary = {key: value for record in records(file) for key, value in summarized(record)}
        assert summary["evaluation/score/train/last_trial"] == str(seed + 0.5)
        (table,) = file.parent.glob("files/media/table/evaluation/by_trial_*.table.json")
        assert json.loads(table.read_text()) == {
            "columns": ["task", "trial", "return", "score"],
            "data": [["a", 1, 2, None], ["a", 2, 4, None]],
        }
        assert len(list(file.parent.glob("files/media/images/evaluation/adaptation_*.png"))) == 1


def test_every_metric_is_drawn_over_env_steps(two_seeds: Path):
    (file,) = wandb_files(two_seeds, 0)
    metrics = [record.metric for record in records(file) if record.HasField("metric")]
    assert any(metric.glob_name == "*" and metric.step_metric == "env_steps" for metric in metrics)


def test_a_resumed_run_goes_on_under_the_same_id_and_repeats_nothing(two_seeds: Path, tmp_path: Path):
    directory = shutil.copytree(two_seeds, tmp_path / "run", symlinks=True)
    done = run(RESUMED, directory)
    assert (done.stdout, done.stderr) == ("", "")
    files = wandb_files(directory, 0)
    assert len(files) == 2
    assert [wandb_run(file).run_id for file in files] == ["1a2b3c4d-seed0"] * 2
    assert [row["env_steps"] for row in history(files[1])] == ["200", "300"]


def test_a_run_goes_on_without_a_wandb_that_dies_and_is_warned_once(tmp_path: Path):
    done = run(SERVICE_DIES, tmp_path / "run")
    assert done.stdout == "the run went on\n"
    assert done.stderr.count("W&B failed") == 1


def test_going_online_without_an_account_is_the_users_to_repair(tmp_path: Path):
    done = run(ONLINE, tmp_path / "run")
    assert done.stdout.startswith("UserError --wandb: got online; ")
    assert "wandb login" in done.stdout
    assert "--wandb offline" in done.stdout


def test_disabled_writes_nothing_and_does_not_even_load_wandb(tmp_path: Path):
    assert run(DISABLED, tmp_path / "run").stdout == "False\n"
    assert os.listdir(tmp_path / "run") == []


def test_a_memory_tracker_keeps_what_was_logged():
    tracker = MemoryTracker()
    record = {"update": 1, "env_steps": 100}
    tracker.log(record)
    record["update"] = 2
    tracker.log_evaluation({"score": 0.5}, [{"trial": 1}], {"bars": Path("bars.png")})
    tracker.finish()
    assert tracker.records == [{"update": 1, "env_steps": 100}]
    assert tracker.evaluations == [({"score": 0.5}, [{"trial": 1}], {"bars": Path("bars.png")})]
    assert tracker.is_finished
