"""Traced programs are kept for later processes, under names that say everything they depend on."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icrl.runs import traced_programs
from icrl.runs.traced_programs import trace

TRACED: list[str] = []


@dataclass(frozen=True)
class Line:
    slope: float

    def __call__(self, point: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        TRACED.append("a line")
        return self.slope * point["x"], point


POINT = {"x": jnp.arange(3.0)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path) -> Iterator[Path]:
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    TRACED.clear()
    yield tmp_path / "traced"
    jax.config.update("jax_compilation_cache_dir", before)


def test_a_program_is_traced_once_and_gives_what_the_function_gives():
    lines = [trace(Line(2.0), POINT) for _ in range(2)]
    assert TRACED == ["a line"]
    for line in lines:
        shape = jax.ShapeDtypeStruct((3,), np.float32)
        assert line.result == (shape, {"x": shape})
        jax.tree.map(np.testing.assert_array_equal, jax.jit(line)(POINT), Line(2.0)(POINT))


@pytest.mark.parametrize(
    ("function", "point"),
    [(Line(3.0), POINT), (Line(2.0), {"x": jnp.arange(4.0)}), (Line(2.0), {"x": jnp.arange(3)})],
    ids=["other field", "other shape", "other dtype"],
)
def test_another_function_or_argument_is_another_program(function: Line, point: dict[str, jax.Array], cache: Path):
    trace(Line(2.0), POINT)
    jax.tree.map(np.testing.assert_array_equal, trace(function, point)(point), function(point))
    assert len(list(cache.iterdir())) == 2


def test_other_code_is_another_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    module = tmp_path / "a_users_module.py"
    monkeypatch.setattr(traced_programs, "_own_code", lambda: {module})
    for slope in "12":
        module.write_text(slope)
        trace(Line(2.0), POINT)
    assert len(TRACED) == 2


def test_own_code_is_icrls_and_the_users_but_no_librarys():
    files = {path.name for path in traced_programs._own_code()}
    assert {"ppo.py", "brax_suite.py", Path(__file__).name} <= files
    assert not {"argparse.py", "pytest.py"} & files


def test_a_function_whose_name_says_nothing_is_not_kept(cache: Path):
    np.testing.assert_array_equal(trace(partial(lambda y, x: y + x, 1), jnp.arange(2))(jnp.arange(2)), [1, 2])
    assert not cache.exists()


def test_a_damaged_file_is_traced_again_and_replaced(cache: Path, caplog: pytest.LogCaptureFixture):
    trace(Line(2.0), POINT)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    trace(Line(2.0), POINT)
    assert "not a traced program" in caplog.text
    assert len(TRACED) == 2
    trace(Line(2.0), POINT)
    assert len(TRACED) == 2


def test_a_folder_that_cannot_be_made_costs_a_warning(cache: Path, caplog: pytest.LogCaptureFixture):
    cache.write_text("in the way")
    line = trace(Line(2.0), POINT)
    np.testing.assert_array_equal(line(POINT)[0], [0, 2, 4])
    assert "cannot be kept" in caplog.text


def test_nothing_is_kept_where_compiled_programs_are_not(cache: Path):
    jax.config.update("jax_compilation_cache_dir", None)
    trace(Line(2.0), POINT)
    assert not cache.exists()


IN_A_PROCESS = """
import jax, jax.numpy as jnp
from icrl.runs import compilation_cache
from icrl.runs.traced_programs import trace
from icrl.spec.experiment_file import load_experiment
compilation_cache.enable()
learner = load_experiment("experiments/memory_length.yaml", scale="smoke").build()
trace(learner.init, jax.random.PRNGKey(0))
"""


def test_a_second_process_finds_what_the_first_kept(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache.parent))
    monkeypatch.chdir(Path(__file__).parents[2])
    for _ in range(2):
        subprocess.run([sys.executable, "-c", IN_A_PROCESS], check=True, timeout=120)
        (kept,) = cache.iterdir()
        written = kept.stat().st_mtime_ns
        kept.chmod(0o444)
    assert kept.stat().st_mtime_ns == written
