"""What a spec may name from outside icrl: models, suites and families of projections, as `module:Class`.

A module is looked for among those that are installed, then in the folder of the spec, in the working folder, and where
the run that is read had it from. An installed package may give names of their own to what it holds, by entry points:

    [project.entry-points."icrl.models"]
    decay = "my_package.models:DecaySpec"
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from icrl.errors import Problem, SpecError, did_you_mean, show

logger = logging.getLogger(__name__)

_PART = r"[^\W\d]\w*"
NAME = re.compile(rf"({_PART}(?:\.{_PART})*):({_PART}(?:\.{_PART})*)")
"""`module:Class`, both perhaps with dots."""

_of_specs: list[Path] = []
_of_runs: list[Path] = []
"""Folders to look in, the latest first: those of specs, and those that runs name."""
_local: dict[str, Path] = {}
"""The modules that came from such a folder, or the working folder, and from which."""
_used: set[str] = set()
"""All modules from outside, by their first names."""
_names: dict[type, str] = {}
"""Classes from outside, as they were named last."""


@dataclass(frozen=True, eq=False)
class Registry:
    """A field's note: its name is one of icrl's own, or of something from outside.

    Where the field is a string, the name is its value; where it is a dataclass, the name stands under `kind` and is the
    class: ``model: Annotated[ModelSpec, Registry(...)]``.
    """

    group: str
    """Of entry points."""
    builtin: Mapping[str, Any]
    """icrl's own, by name."""
    lacks: Callable[[Any], str]
    """What something from outside should be instead, in words; empty where it is fit."""

    @property
    def names(self) -> tuple[str, ...]:
        """All names that need no module: icrl's own, then those of entry points."""
        return tuple(dict.fromkeys((*self.builtin, *sorted(_entry_points(self.group)))))

    @property
    def expected(self) -> str:
        """What belongs in the field, in words."""
        return f"one of {', '.join(self.names)}, or module:Class"

    def find(self, name: Any) -> Any:
        """What has this name.

        Raises:
            SpecError: nothing has, its module cannot be imported, or what it holds is not fit. Its path is empty.
        """
        if isinstance(name, str) and name in self.builtin:
            return self.builtin[name]
        target = self._target(name)
        if target is None:
            advice = "put it in quotes" if isinstance(name, bool) else did_you_mean(name, self.names)
            raise SpecError.of("", got=name, expected=self.expected, advice=advice)
        module_name, attributes = NAME.fullmatch(target).groups()  # type: ignore[union-attr]
        module = _import(module_name, name)
        found: Any = module
        for attribute in attributes.split("."):
            if not hasattr(found, attribute):
                here = [key for key in vars(module) if not key.startswith("_")]
                got = f"{show(name)}, which {_file(module) or module_name} does not hold"
                raise SpecError([Problem("", got, "the name of something in it", did_you_mean(attribute, here))])
            found = getattr(found, attribute)
        if lacking := self.lacks(found):
            raise SpecError([Problem("", f"{show(name)}, {_what(found)}", lacking)])
        if isinstance(found, type):
            _names[found] = name
        return found

    def name_of(self, found: type) -> str:
        """The name by which `find` gives a class."""
        builtin = {id(own): name for name, own in self.builtin.items()}
        return builtin.get(id(found)) or _names.get(found) or f"{found.__module__}:{found.__qualname__}"

    def problems(self, name: Any, where: str) -> Iterator[Problem]:
        """What `find` refuses, at its path."""
        try:
            self.find(name)
        except SpecError as error:
            yield from (Problem(where, p.got, p.expected, p.advice) for p in error.problems)

    def origin(self, name: str) -> dict[str, str]:
        """What something from outside was: the file of its module, that file's SHA-256, the package's version."""
        module_name = NAME.fullmatch(self._target(name) or "").group(1)  # type: ignore[union-attr]
        module = _import(module_name, name)
        found = {}
        if file := _file(module):
            found |= {"file": file, "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest()}
        top = module_name.partition(".")[0]
        if top not in _local:
            packages = metadata.packages_distributions().get(top, [])
            found |= {
                "version": ", ".join(f"{package} {metadata.version(package)}" for package in sorted(set(packages)))
            }
        return {key: value for key, value in found.items() if value}

    def _target(self, name: Any) -> str | None:
        """The `module:Class` behind a name."""
        if not isinstance(name, str):
            return None
        return name if NAME.fullmatch(name) else _entry_points(self.group).get(name)


def search(folder: Path) -> None:
    """Has modules looked for in the folder of a spec."""
    _remember(_of_specs, folder)


def search_like(origins: Any, run: Path) -> None:
    """Has modules looked for where a run had them from, as far as that is this user's own.

    A run may be somebody else's: no folder inside it is looked into, nor one of another user's.

    Args:
        origins: what `Registry.origin` said, by name, as the run has kept it.
        run: its folder.
    """
    for name, origin in origins.items() if isinstance(origins, Mapping) else ():
        match, file = NAME.fullmatch(name), origin.get("file") if isinstance(origin, Mapping) else None
        if match is None or not isinstance(file, str) or not os.path.isabs(file) or "\0" in file:
            continue
        path = Path(os.path.realpath(file))
        depth = match[1].count(".") + (path.name == "__init__.py")
        if path.is_file() and len(path.parents) > depth and _is_own(path) and not path.is_relative_to(run.resolve()):
            _remember(_of_runs, path.parents[depth])


def warn_of_changes(before: Any, now: Mapping[str, Mapping[str, str]], run: Path) -> None:
    """Says where a module's file is not the one that a run was trained with."""
    for name, origin in now.items():
        was = before.get(name) if isinstance(before, Mapping) else None
        if isinstance(was, Mapping) and was.get("sha256") != origin.get("sha256"):
            logger.warning("%s: %s has changed since the run was trained with it", run, origin.get("file", name))


def culprit(error: BaseException) -> str:
    """The place in a module from outside at which an error was raised, if it passed through one."""
    own = [file for top in _used if (file := _file(sys.modules[top]))]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(os.path.realpath(frame.filename))
        for path in map(Path, own):
            if file == path or (path.name == "__init__.py" and file.is_relative_to(path.parent)):
                return f"{frame.filename}, line {frame.lineno}"
    return ""


def _remember(folders: list[Path], folder: Path) -> None:
    folder = folder.resolve()
    if folder in folders:
        folders.remove(folder)
    folders.insert(0, folder)


def _is_own(path: Path) -> bool:
    return not hasattr(os, "getuid") or path.stat().st_uid in (0, os.getuid())


@cache
def _entry_points(group: str) -> dict[str, str]:
    """`module:Class` of the installed ones, by name."""
    return {point.name: point.value for point in metadata.entry_points(group=group) if NAME.fullmatch(point.value)}


def _import(name: str, wanted: str) -> ModuleType:
    """A module, from where it is found first. Raises SpecError if that is nowhere, or its code fails."""
    top = name.partition(".")[0]
    folders = [*_of_specs, Path.cwd(), *_of_runs]
    if top in _local or _spec(top) is None:
        there = next((folder for folder in folders if _is_in(folder, top, name)), None)
        if top in _local and there not in (None, _local[top]):
            got = f"{show(wanted)}, which {there} holds, while {_local[top]} holds another {top}, in use already"
            raise SpecError([Problem("", got, "one of them", "rename one, or use a process for each")])
        if top not in _local and there is None:
            places = ", ".join(dict.fromkeys(map(str, folders)))
            advice = "install it, put it there, or put its folder into PYTHONPATH"
            raise SpecError([Problem("", f"{show(wanted)}, but there is no module {top}", f"it in {places}", advice)])
        if there:
            _local[top] = there
            if str(there) not in sys.path:
                sys.path.append(str(there))  # the last: nothing that is installed is hidden by what lies beside it
            importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if top not in sys.modules:
            _local.pop(top, None)
        raise SpecError([_failed(name, wanted, error)]) from error
    if top != "icrl":
        _used.add(top)
    return module


def _spec(top: str) -> Any:
    try:
        return sys.modules[top] if top in sys.modules else find_spec(top)
    except (ImportError, ValueError):
        return None


def _is_in(folder: Path, top: str, name: str) -> bool:
    """Whether a folder holds a module; a folder without `__init__.py` counts where something in it is meant."""
    try:
        found = PathFinder.find_spec(top, [str(folder)])
    except (ImportError, OSError):
        return False
    return found is not None and (found.loader is not None or "." in name)


def _failed(name: str, wanted: str, error: BaseException) -> Problem:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{name}.".startswith(f"{missing}."):
        return Problem("", f"{show(wanted)}, but there is no module {missing}", "a module and a name in it")
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}, line {error.lineno}"
    else:
        outside = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
        place = f"{outside[-1].filename}, line {outside[-1].lineno}" if outside else name
    fault = f"{type(error).__name__}: {error}".removesuffix(": ")
    return Problem("", f"{show(wanted)}, whose module fails ({fault}; {place})", "one that can be imported")


def _file(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    return os.path.realpath(file) if file else None


def _what(found: Any) -> str:
    """Something found, in words."""
    if isinstance(found, type):
        bases = ", ".join(base.__name__ for base in found.__mro__[1:3] if base is not object)
        return f"a class{f' ({bases})' if bases else ''}"
    return f"a value of type {type(found).__name__}"
