import runpy
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from icrl.runs.checkpoints import Checkpoints

SCRIPT = Path(__file__).with_name("kill_while_saving.py")

RESTORED = {
    "before the arrays": 2,
    "before the metadata": 2,
    "before the checksums": 2,
    "before the commit": 2,
    "after the commit": 3,
    "while deleting the oldest": 3,
    "between setting the old aside and replacing it": 2,
}


@pytest.fixture(scope="module")
def state():
    return runpy.run_path(str(SCRIPT))["state"]


def test_a_save_killed_at_any_moment_leaves_the_old_checkpoint_or_the_new_one(tmp_path: Path, state, caplog):
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == 14
    for folder, acknowledged, ended, moment in lines:
        assert ended == "killed", moment
        checkpoints = Checkpoints(Path(folder))
        update, restored = checkpoints.restore(state(0))
        assert update in (int(acknowledged), int(acknowledged) + 1), moment
        assert update == RESTORED.get(moment, update), moment
        for array, expected in zip(jax.tree.leaves(restored), jax.tree.leaves(state(update)), strict=True):
            assert np.asarray(array).tobytes() == expected.tobytes(), moment
        checkpoints.save(update + 1, state(update + 1))
        assert {path.name for path in checkpoints.path.iterdir()} == {str(update), str(update + 1)}, moment
    assert caplog.text == ""  # what was half written is never mistaken for a damaged checkpoint
