"""The losses of the first updates of S5 on the memory probe, as they were when last looked at.

A change of these numbers is a change of the mathematics, meant or not. If it is meant, write them anew:
``python -m tests.learners.test_golden_losses``
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from tests.learners.probes import trained_on_memory

GOLDEN = Path(__file__).with_name("golden_losses.json")
METRICS = ("policy_loss", "value_loss", "entropy", "approximate_kl", "gradient_norm", "explained_variance")
NUM_UPDATES = 5
RTOL, ATOL = 1e-3, 1e-5
"""Room for other orders of the same sums, on other machines and versions, after 40 gradient steps."""


def losses() -> dict[str, list[float]]:
    metrics = trained_on_memory("s5")
    return {name: metrics[name][:NUM_UPDATES].tolist() for name in METRICS}


@pytest.mark.parametrize("metric", METRICS)
def test_losses_are_those_on_record(metric: str):
    record = json.loads(GOLDEN.read_text())
    np.testing.assert_allclose(losses()[metric], record["losses"][metric], rtol=RTOL, atol=ATOL)


if __name__ == "__main__":
    made_with = {package: version(package) for package in ("jax", "jaxlib", "flax", "optax", "numpy")}
    made_with |= {"python": platform.python_version(), "machine": platform.machine()}
    GOLDEN.write_text(json.dumps({"made_with": made_with, "losses": losses()}, indent=2) + "\n")
