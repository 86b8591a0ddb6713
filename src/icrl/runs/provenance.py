"""What a result was made with: versions, machine, commit."""

from __future__ import annotations

import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from icrl import __version__


def provenance() -> dict[str, Any]:
    """Versions of icrl, of what it depends on and of Python; the platform; the commit, if there is one."""
    return {
        "versions": {"icrl": __version__, **_dependencies()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_commit": git_commit(),
    }


def git_commit() -> str | None:
    """The commit of the checkout that icrl runs from, with `-dirty` if files differ; None outside one."""
    here = Path(__file__)
    try:
        # A repository that merely has a virtual environment inside does not track this file.
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def _dependencies() -> dict[str, str]:
    try:
        requirements = metadata.requires("icrl") or []
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return {}
    names = {re.split(r"[^\w.-]", line)[0] for line in requirements if "extra ==" not in line}
    return {name: metadata.version(name) for name in sorted({*names, "jaxlib"})}
