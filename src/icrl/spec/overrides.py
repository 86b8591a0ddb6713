"""Changing a plain spec before it is parsed, and telling how two of them differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from icrl.errors import Problem, SpecError, collect, join_path, show
from icrl.spec.yaml_files import load_yaml


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `override` laid over it: nested mappings merge, everything else is replaced.

    Neither argument is changed.
    """
    merged = dict(base)
    for key, value in override.items():
        old = base.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def apply_overrides(data: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """`data` with assignments such as `learner.learning_rate=1e-3` merged into it; their values are YAML.

    The assignments act together, whatever their order. Whether a path names a field is for `parse` to find out.

    Raises SpecError with a problem for every assignment that is not `key.path=value` with a YAML value, leads
    through something other than a mapping, or assigns what another one does.
    """
    override: dict[str, Any] = {}
    assigned: dict[str, str] = {}
    problems: list[Problem] = []
    for assignment in assignments:
        with collect(problems):
            path, value = _read_assignment(assignment)
            _check_leads_through_mappings(path, data)
            _check_no_clash(path, assignment, assigned)
            assigned[path] = assignment
            for key in reversed(path.split(".")):
                value = {key: value}
            override = merge(override, value)
    if problems:
        raise SpecError(problems)
    return merge(data, override)


def _read_assignment(assignment: str) -> tuple[str, Any]:
    path, equals, text = assignment.partition("=")
    if not equals:
        raise SpecError([Problem(assignment, "no '='", "key.path=value")])
    if not all(path.split(".")):
        raise SpecError([Problem(assignment, "an empty key", "key.path=value")])
    return path, load_yaml(text, path, expected="a value after '=', null for none")


def _check_leads_through_mappings(path: str, data: Any) -> None:
    where = ""
    for key in path.split(".")[:-1]:
        if key not in data:
            return
        where, data = join_path(where, key), data[key]
        if not isinstance(data, Mapping):
            raise SpecError.of(where, got=data, expected=f"a mapping that could hold {path}")


def _check_no_clash(path: str, assignment: str, assigned: Mapping[str, str]) -> None:
    for other, other_assignment in assigned.items():
        if f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}."):
            got = f"both {other_assignment} and {assignment}"
            raise SpecError([Problem(path, got, "only one of them")])


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The fields in which two plain specs differ, each as `learner.learning_rate: 0.001 -> 0.003`."""
    return list(_differences(old, new, ""))


class _Absent:
    """What one spec holds in place of a field that only the other one has."""

    def __repr__(self) -> str:
        return "absent"


def _differences(old: Any, new: Any, where: str) -> Iterator[str]:
    absent = _Absent()
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _differences(old.get(key, absent), new.get(key, absent), join_path(where, key))
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        for index, (old_item, new_item) in enumerate(zip_longest(old, new, fillvalue=absent)):
            yield from _differences(old_item, new_item, f"{where}[{index}]")
    elif old != new or isinstance(old, bool) != isinstance(new, bool):  # to Python, True == 1
        yield f"{where}: {show(old)} -> {show(new)}"
