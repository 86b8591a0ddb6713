"""What the tests of commands share: a stand-in for Brax, and one run of the tiny spec from start to end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jax
import pytest

from icrl.envs.suites import SUITES
from tests.commands.runs import TINY, icrl
from tests.commands.stand_in import SUITE


@contextmanager
def compiling_in_a_second() -> Iterator[None]:
    """Programs here run for milliseconds: it pays to make them small and to optimise them little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SUITES, "brax", SUITE)
        jax.config.update("jax_disable_most_optimizations", True)
        try:
            yield
        finally:
            jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True)
def empty_folder_and_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test runs on the stand-in, in a folder of its own without recorded results."""
    monkeypatch.chdir(tmp_path)
    with compiling_in_a_second():
        yield


@dataclass(frozen=True)
class Finished:
    """A run that nothing interrupted, and what it printed."""

    path: Path
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The tiny spec, trained and evaluated, with W&B offline. Not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch, compiling_in_a_second():
        patch.chdir(folder)
        done = icrl("train", TINY, "--out", folder / "run")
    assert done.exit_code == 0, done.stderr
    return Finished(folder / "run", done.stdout, done.stderr)
