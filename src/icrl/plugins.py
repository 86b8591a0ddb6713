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
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
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
_appended: set[Path] = set()
"""Those, and working folders, that were put into `sys.path`: what lies in one is not installed."""
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
        if _home(top) not in _appended:
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
        path, module = Path(os.path.realpath(file)), Path(*match[1].split("."))
        for inside in (module.with_suffix(".py"), module / "__init__.py"):
            is_it = path.parts[-len(inside.parts) :] == inside.parts and path.is_file()
            if is_it and _is_own(path) and not path.is_relative_to(run.resolve()):
                _remember(_of_runs, path.parents[len(inside.parts) - 1])


def warn_of_changes(before: Any, now: Mapping[str, Mapping[str, str]], run: Path) -> None:
    """Says where a module's file is not the one that a run was trained with."""
    for name, origin in now.items():
        was = before.get(name) if isinstance(before, Mapping) else None
        if isinstance(was, Mapping) and was.get("sha256") != origin.get("sha256"):
            logger.warning("%s: %s has changed since the run was trained with it", run, origin.get("file", name))


def culprit(error: BaseException) -> str:
    """The place in a module from outside at which an error was raised, if it passed through one."""
    own = [place.resolve() for top in _used for place in _places(top)]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if any(Path(os.path.realpath(frame.filename)).is_relative_to(place) for place in own):
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
    home, is_loaded = _home(top), top in sys.modules
    spec = None if is_loaded else _installed(top)
    if (home == Path.cwd() or home in _appended) if is_loaded else spec is None:
        there = next((folder for folder in folders if _is_in(folder, top, name)), None)
        if is_loaded and there not in (None, home):
            got = f"{show(wanted)}, which {there} holds, while {home} holds another {top}, in use already"
            raise SpecError([Problem("", got, "one of them", "rename one, or use a process for each")])
        if not is_loaded and there is None:
            places = ", ".join(dict.fromkeys(map(str, folders)))
            advice = "install it, put it there, or put its folder into PYTHONPATH"
            raise SpecError([Problem("", f"{show(wanted)}, but there is no module {top}", f"it in {places}", advice)])
        if there and str(there) not in sys.path:
            sys.path.append(str(there))  # the last: nothing that is installed is hidden by what lies beside it
            _appended.add(there)
        spec = PathFinder.find_spec(top, [str(there)]) if not is_loaded else None
    try:
        if spec:
            _load(spec)
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise SpecError([_failed(name, wanted, error)]) from error
    if top != "icrl":
        _used.add(top)
    return module


def _installed(top: str) -> ModuleSpec | None:
    """A module that is found without the folders appended here, and without the working folder where that comes first.

    There Python itself has put it, in a notebook and under `python -m`.
    """
    importlib.invalidate_caches()
    path = sys.path
    first = [] if os.path.realpath(path[0]) == os.getcwd() else path[:1]
    sys.path = [folder for folder in (*first, *path[1:]) if folder and Path(folder) not in _appended]
    try:
        return find_spec(top)
    except (ImportError, ValueError):
        return None
    finally:
        sys.path = path


def _load(spec: ModuleSpec) -> None:
    """Imports a module from where it was found, whatever `sys.path` has first."""
    module = sys.modules[spec.name] = module_from_spec(spec)
    try:
        if spec.loader:  # a folder without `__init__.py` has none
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise


def _places(top: str) -> list[Path]:
    """The folders of a package in use, or the file of a module; none of what is built in, or not in use."""
    module = sys.modules.get(top)
    places = getattr(module, "__path__", None) or [getattr(module, "__file__", None)]
    return [Path(place) for place in places if place]


def _home(top: str) -> Path | None:
    """The folder in which a module in use lies."""
    return next((place.parent.resolve() for place in _places(top)), None)


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
        folders = {Path(frame.filename).parent for frame in outside[:1]}  # the module's; what it calls is not at fault
        own = [frame for frame in outside if folders & set(Path(frame.filename).parents)]
        place = f"{own[-1].filename}, line {own[-1].lineno}" if own else name
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
