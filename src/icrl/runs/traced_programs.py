"""Programs kept as they were traced, beside the compiled ones, so that a second start does not trace again.

Tracing runs the Python of a learner and of its environments; what comes out (StableHLO) depends on nothing but that
code, the libraries' versions and settings, the devices and the arguments. A digest of all these names the file a
program is kept in. A first start runs what it keeps, too, so every start compiles the same program.
"""

from __future__ import annotations

import logging
import pickle
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import jax
from jax import export

import icrl
from icrl.errors import MachineError
from icrl.runs.disk import write_atomically
from icrl.types import PyTree

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Traced:
    """A function of one tree of arrays that needs no Python any more, but for taking trees apart."""

    program: export.Exported
    """From leaves to leaves."""
    structure: Any
    """The result's tree."""

    def __call__(self, argument: PyTree) -> PyTree:
        """The function's value."""
        return self.structure.unflatten(self.program.call(jax.tree.leaves(argument)))

    @property
    def result(self) -> PyTree:
        """Shapes and dtypes of the function's value, as ``jax.ShapeDtypeStruct``."""
        shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in self.program.out_avals]
        return self.structure.unflatten(shapes)


def trace(function: Callable[[PyTree], PyTree], argument: PyTree) -> Traced:
    """``function`` for arguments like ``argument`` (arrays or shapes), as traced now or by an earlier process.

    It is kept only if its ``repr`` says what it does, as that of a method of a dataclass; an address says nothing.
    """
    leaves, structure = jax.tree.flatten(argument)
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    identity, folder = repr((function, structure, shapes)), _folder()
    kept = folder / _digest(identity) if folder and " at 0x" not in identity else None
    if kept and (traced := _load(kept)):
        return traced
    structures = []

    def flat(leaves: list[jax.Array]) -> list[jax.Array]:
        result, of_result = jax.tree.flatten(function(structure.unflatten(leaves)))
        structures.append(of_result)
        return result

    traced = Traced(export.export(jax.jit(flat))(shapes), structures[-1])
    if kept:
        try:
            kept.parent.mkdir(exist_ok=True)
            write_atomically(kept, pickle.dumps((bytes(traced.program.serialize()), traced.structure)))
        except (MachineError, OSError) as error:
            logger.warning("%s: a traced program cannot be kept there (%s)", kept, error)
    return traced


def _folder() -> Path | None:
    """Beside the compiled programs, if those are kept."""
    settings = jax.config.values
    compiled = settings["jax_compilation_cache_dir"] if settings["jax_enable_compilation_cache"] else None
    return Path(compiled) / "traced" if compiled else None


def _load(path: Path) -> Traced | None:
    try:
        program, structure = pickle.loads(path.read_bytes())
        return Traced(export.deserialize(bytearray(program)), structure)
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged file, in whatever way: it is traced again
        logger.warning("%s: not a traced program (%s); tracing again", path, error)
        return None


def _digest(identity: str) -> str:
    """Names a program by everything that decides what tracing gives."""
    devices = [(device.platform, device.device_kind) for device in jax.devices()]
    libraries = sorted((library.name, library.version) for library in distributions())
    digest = sha256(repr((identity, sys.version, jax.config.values, devices, libraries)).encode())
    for path in sorted(_own_code()):
        digest.update(f"{path}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _own_code() -> set[Path]:
    """icrl's files, and those of loaded modules that no installed library brought."""
    installed = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
    loaded = {getattr(module, "__file__", None) for module in tuple(sys.modules.values())}
    others = {Path(file) for file in loaded if file and not file.startswith(installed) and file.endswith(".py")}
    return {path for path in others if path.is_file()} | set(Path(icrl.__file__).parent.rglob("*.py"))
