"""What the tests of commands share: a stand-in for Brax, and one run of the tiny spec from start to end."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import pytest

from icrl.envs.suites import SUITES
from tests.commands.runs import TINY, icrl
from tests.commands.stand_in import SUITE


@pytest.fixture(scope="package", autouse=True)
def compile_in_a_second() -> Iterator[None]:
    """Programs here run for milliseconds: it pays to make them small and to optimise them little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SUITES, "brax", SUITE)
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test runs in a folder of its own, without recorded results."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Finished:
    """A run that nothing interrupted, and what it printed."""

    path: Path
    stdout: str
    stderr: str


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory, compile_in_a_second: None) -> Finished:
    """The tiny spec, trained and evaluated, with W&B offline. Not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = icrl("train", TINY, "--out", folder / "run")
    assert done.exit_code == 0, done.stderr
    return Finished(folder / "run", done.stdout, done.stderr)
