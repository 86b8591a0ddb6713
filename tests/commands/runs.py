"""Running `icrl` on the tiny spec, and looking at what a run left behind."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
from typer.testing import CliRunner, Result

from icrl.cli import app
from icrl.runs.checkpoints import Checkpoints
from icrl.runs.directory import CHECKPOINTS, EVALUATION, METRICS

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")
STAND_IN = "tests.commands.icrl_on_stand_in"
"""The module that is `icrl` with the stand-in for Brax."""
UPDATES_PER_CHUNK, NUM_UPDATES, ENV_STEPS_PER_UPDATE = 2, 16, 32
"""Of the tiny spec."""


def icrl(*arguments: object) -> Result:
    """Runs `icrl` in this process."""
    with warnings.catch_warnings():  # a verb silences third-party warnings for its whole process
        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="icrl")


def train(out: Path, *arguments: object) -> Result:
    """Trains the tiny spec in this process, without W&B."""
    return icrl("train", TINY, "--out", out, "--wandb", "disabled", *arguments)


def start_process(module: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Starts `icrl`, or what stands for it, as a process of its own; it compiles as little as this one."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # not this process's W&B
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        env={**own, "PYTHONPATH": path, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / METRICS).read_text().splitlines()]


def numbers(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what the clock says: equal only if every number has the same bits."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in metrics(run)]


def evaluated(run: Path) -> dict[str, Any]:
    """What evaluation.json says of each task: every return of every episode, every reward by step."""
    return json.loads((run / EVALUATION).read_text())["tasks"]


def manifest(run: Path) -> dict[str, Any]:
    """The run's manifest."""
    return json.loads((run / "manifest.json").read_text())


def updates_saved(run: Path) -> list[int]:
    """The updates that have a checkpoint."""
    return Checkpoints(run / CHECKPOINTS).updates()


def newest_state(run: Path) -> tuple[int, dict[str, bytes]]:
    """The update of the newest checkpoint, and the bytes of everything in it by name."""
    described = json.loads((run / CHECKPOINTS / str(max(updates_saved(run))) / "metadata.json").read_text())
    restored = Checkpoints(run / CHECKPOINTS).restore({k: _shape(v) for k, v in described["leaves"].items()})
    assert restored is not None
    update, state = restored
    return update, {name: np.asarray(array).tobytes() for name, array in state.items()}


def outcome(run: Path) -> tuple[Any, ...]:
    """All numbers that a finished run leaves: its metrics, its newest state, its evaluation."""
    return numbers(run), newest_state(run), evaluated(run)


def _shape(described: str) -> jax.ShapeDtypeStruct:
    """Of an array described as `float32[64,3]`."""
    dtype, sizes = re.fullmatch(r"(\w+)\[(.*)\]", described).groups()
    return jax.ShapeDtypeStruct(tuple(int(size) for size in sizes.split(",") if size), np.dtype(dtype))


def documented_keys(section: str) -> set[str]:
    """The keys that a section of docs/metrics.md explains."""
    _, _, text = (ROOT / "docs" / "metrics.md").read_text().partition(f"## {section}\n")
    rows = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    return {key for row in rows for key in re.findall("`([^`]+)`", row.split(" | ")[0])}
