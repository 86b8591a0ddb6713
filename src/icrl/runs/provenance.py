"""What a result was made with: versions, machine, commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Machine:
    """What numbers are measured on."""

    platform: str = ""
    processor: str = ""
    """The processor's own name, where Linux tells it."""
    cores: int | None = None
    devices: tuple[str, ...] = ()
    """Kinds of JAX's devices."""
    jax: str = ""
    """Version of JAX."""

    def is_like(self, other: Machine) -> bool:
        """Whether times measured on the other hold here."""
        return (self.platform, self.processor, self.cores) == (other.platform, other.processor, other.cores)


def command_line() -> list[str]:
    """The words of the command that this process runs; a notebook's kernel has words that say nothing of it."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return ["icrl", "in", "a", "notebook"] if "kernel_launcher" in program else ["icrl", *sys.argv[1:]]


def made_with() -> dict[str, Any]:
    """The command and the code that make a record, and the machine that its numbers are measured on."""
    return {"command": " ".join(command_line()), "git_commit": git_commit(), "machine": this_machine()}


def this_machine() -> Machine:
    """The machine that this process runs on."""
    import jax  # only here: runs are read without it

    return Machine(
        platform=platform.machine(),
        processor=_processor(),
        cores=os.cpu_count(),
        devices=tuple(sorted({device.device_kind for device in jax.devices()})),
        jax=jax.__version__,
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def git_commit() -> str | None:
    """The commit of the checkout that icrl runs from, with `-dirty` if files differ; None outside one.

    Results do not count: icrl writes them itself, and those of one experiment make no other one.
    """
    here = Path(__file__)
    try:
        # A repository that merely has a virtual environment inside does not track this file.
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        changed = _git(here.parent, "diff", "--name-only", "HEAD", "--", ":/", ":(top,exclude)results")
        return _git(here.parent, "rev-parse", "HEAD") + "-dirty" * bool(changed)
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
