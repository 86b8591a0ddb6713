"""How long something took last time: what a run's manifest says of it, or that of a run beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal

from icrl.errors import UserError
from icrl.runs.directory import MANIFEST, RunDirectory
from icrl.runs.provenance import this_machine
from icrl.spec.parse import to_dict

Lasting = Literal["compile_seconds", "evaluate_seconds"]
"""Fields of a manifest that keep it."""

PROGRAM = ("name", "scale", "model_name", "point", "num_seeds")
"""Fields of a spec: where they are equal, so, more or less, is the program."""


def last_time(what: Lasting, run: RunDirectory) -> float | None:
    """Seconds that it took last in this run, or in the newest one beside it of the same program, here; None if never.

    Here is this machine, with as many devices as the run has.
    """
    machine, num_devices = to_dict(this_machine()), len(run.manifest.get("devices", ()))
    for manifest in (run.manifest, *_beside(run)):
        seconds = manifest.get(what)
        same_machine = manifest.get("machine") == machine and len(manifest.get("devices") or ()) == num_devices
        if isinstance(seconds, float | int) and same_machine:
            return float(seconds)
    return None


def _beside(run: RunDirectory) -> Iterator[dict[str, Any]]:
    """The manifests of runs of the same program in the folders beside this run's, the newest first."""
    spec = run.spec
    found = []
    for file in run.path.absolute().parent.glob(f"[!.]*/{MANIFEST}"):
        with suppress(UserError, OSError):
            other = RunDirectory.read(file.parent)
            other_spec = other.spec
            if all(other_spec.get(name) == spec.get(name) for name in PROGRAM):
                found.append(other.manifest)
    yield from sorted(found, key=lambda manifest: manifest["started"], reverse=True)
