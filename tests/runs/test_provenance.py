import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from icrl.runs import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch):
    """A git repository of one commit, with the module inside where the argument says; returns git."""

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "provenance.py").write_text("")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "README.md").write_text("")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    git("tag", "-a", "v1", "-m", "first")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    return git


def test_the_commit_is_that_of_the_checkout_and_says_whether_files_differ(checkout, tmp_path: Path):
    commit = checkout("rev-parse", "HEAD")
    assert provenance.git_commit() == commit
    (tmp_path / "results" / "README.md").write_text("a report that the runs before have made")
    assert provenance.git_commit() == commit
    (tmp_path / "provenance.py").write_text("changed")
    assert provenance.git_commit() == f"{commit}-dirty"


def test_a_package_installed_inside_another_repository_has_no_commit(checkout, tmp_path: Path, monkeypatch):
    (tmp_path / ".venv").mkdir()
    installed = tmp_path / ".venv" / "provenance.py"
    installed.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(installed))
    assert provenance.git_commit() is None


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.git_commit() is None


def test_the_versions_are_those_of_icrl_and_of_everything_it_requires():
    versions = provenance.provenance()["versions"]
    assert versions["jaxlib"] == metadata.version("jaxlib")
    required = [line for line in metadata.requires("icrl") if "extra" not in line]
    assert {"icrl", *(re.match(r"[A-Za-z0-9-]+", line)[0] for line in required)} <= versions.keys()
    assert "pytest" not in versions
