"""YAML to frozen dataclasses and back: typed, lossless, and with every mistake reported at once.

A spec is a frozen dataclass whose annotations say what a YAML file may hold: `str`, `bool`, `int`, `float`,
`Literal`, `np.ndarray` (of numbers), `tuple[T, ...]`, `tuple[T1, T2]`, `dict[str, T]`, `T | None`, nested dataclasses
(a field without default is required), unions of a tuple and a dict, or of dataclasses told apart by their
`kind: Literal["name"]`, and names of a `Registry` (see `icrl.plugins`) or dataclasses whose `kind` is one.

    data = apply_overrides(read_yaml(path), ["learner.learning_rate=3e-4"])
    spec = parse(Experiment, data)

Bounds stand in the annotations, as in `Annotated[int, at_least(1)]` (see `icrl.fields`). How fields contradict each
other, a dataclass checks when it is made: its `__post_init__` may raise SpecError. Nothing here knows of reinforcement
learning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from decimal import Decimal, InvalidOperation
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np

from icrl.errors import Problem, SpecError, collect, did_you_mean, join_path, show
from icrl.fields import Purpose, determines, field_types, out_of_bounds, registry_of
from icrl.spec.overrides import apply_overrides, difference, merge
from icrl.spec.yaml_files import read_yaml

__all__ = ["Problem", "SpecError", "apply_overrides", "difference", "merge", "parse", "read_yaml", "to_dict"]

T = TypeVar("T")


def parse(cls: type[T], data: Any, where: str = "") -> T:
    """`data` as a `cls`. Numbers change their type where nothing is lost: 5e6 to an int, "1_000" too.

    `where` is the path of `data` in its spec, for the messages. Raises SpecError with one problem for every
    mistake in `data`, and TypeError if `cls` is a type that specs cannot hold.
    """
    parser = _parse_dataclass if is_dataclass(cls) else _PARSERS.get(get_origin(cls) or cls)
    if parser is None:
        raise TypeError(f"{where or 'spec'}: a spec cannot hold values of type {cls}")
    return parser(cls, data, where)


def to_dict(spec: Any, determining: Purpose | None = None) -> dict[str, Any]:
    """The plain values, fit for YAML and JSON, from which `parse(type(spec), ...)` makes an equal spec.

    With ``determining``, only those of fields that can change the training, or the evaluation (which training changes
    too): where these are equal, so are the numbers.
    """
    return {
        name: plain_of_kind(annotation, getattr(spec, name), determining)
        for name, annotation in field_types(type(spec)).items()
        if determining is None or determines(annotation, determining)
    }


def plain_of_kind(annotation: Any, value: Any, determining: Purpose | None = None) -> Any:
    """A field's plain value; of a dataclass that is named by its kind, with that, which those from outside lack."""
    plain, registry = _plain(value, determining), registry_of(annotation)
    return {"kind": registry.name_of(type(value))} | plain if registry and is_dataclass(value) else plain


def _plain(value: Any, determining: Purpose | None) -> Any:
    if is_dataclass(value):
        return to_dict(value, determining)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(item, determining) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item, determining) for key, item in value.items()}
    return value


def _parse_dataclass(cls: Any, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise _mismatch(cls, data, where)
    types = field_types(cls)
    own_fields = {field.name: field for field in fields(cls) if field.init}
    problems = [
        Problem(join_path(where, key), "an unknown key", _one_of(own_fields), did_you_mean(key, own_fields))
        for key in data
        if key not in own_fields
    ]
    values = {}
    for name, field in own_fields.items():
        if name in data:
            with collect(problems):
                values[name] = parse(types[name], data[name], join_path(where, name))
        elif field.default is MISSING and field.default_factory is MISSING:
            problems.append(Problem(join_path(where, name), "nothing", _describe(types[name])))
    spec, found = None, list(out_of_bounds(cls, values))
    if not problems:
        with collect(found):  # of __post_init__, which knows its fields but not where the spec holds it
            spec = cls(**values)
    problems += [replace(problem, where=join_path(where, problem.where)) for problem in dict.fromkeys(found)]
    if problems:
        raise SpecError(problems)
    return spec


def _parse_annotated(annotated: Any, data: Any, where: str) -> Any:
    cls, registry = get_args(annotated)[0], registry_of(annotated)
    if registry is None:
        return parse(cls, data, where)
    if cls is str:
        if problems := list(registry.problems(data, where)):
            raise SpecError(problems)
        return data
    if not isinstance(data, Mapping):
        raise _mismatch(annotated, data, where)
    if "kind" not in data:
        raise SpecError([Problem(join_path(where, "kind"), "nothing", registry.expected)])
    kind = data["kind"]
    if problems := list(registry.problems(kind, join_path(where, "kind"))):
        raise SpecError(problems)
    if kind in registry.builtin:
        return parse(registry.find(kind), data, where)
    return _parse_outside(registry.find(kind), {key: value for key, value in data.items() if key != "kind"}, where)


def _parse_outside(cls: Any, data: Any, where: str) -> Any:
    """`data` as a dataclass that is none of icrl's, whose annotations may be any."""
    try:
        return parse(cls, data, where)
    except (TypeError, NameError) as error:
        got = f"{cls.__module__}:{cls.__qualname__}, whose fields cannot be read ({error})"
        expected = "annotations such as int, float, str, bool, Literal, tuple[int, ...] and nested dataclasses"
        raise SpecError([Problem(where, got, expected)]) from error


def _parse_union(union: Any, data: Any, where: str) -> Any:
    options = _options(union)
    if data is None and NoneType in get_args(union):
        return None
    if len(options) == 1:
        return parse(options[0], data, where)
    by_shape = {get_origin(option): option for option in options}
    if by_shape.keys() == {tuple, dict}:
        return parse(by_shape[dict if isinstance(data, Mapping) else tuple], data, where)
    kinds = _kinds(options)
    if not isinstance(data, Mapping):
        raise _mismatch(union, data, where)
    if "kind" not in data:
        raise SpecError([Problem(join_path(where, "kind"), "nothing", _one_of(kinds))])
    kind = _choose(tuple(kinds), data["kind"], join_path(where, "kind"))
    return parse(kinds[kind], data, where)


def _parse_tuple(cls: Any, data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise _mismatch(cls, data, where, advice="write it in brackets: [a, b]")
    types = get_args(cls)
    if Ellipsis in types:
        types = types[:1] * len(data)
    if len(types) != len(data):
        raise _mismatch(cls, data, where)
    items, problems = [], []
    for index, (item_type, item) in enumerate(zip(types, data, strict=True)):
        with collect(problems):
            items.append(parse(item_type, item, f"{where}[{index}]"))
    if problems:
        raise SpecError(problems)
    return tuple(items)


def _parse_dict(cls: Any, data: Any, where: str) -> dict[Any, Any]:
    if not isinstance(data, Mapping):
        raise _mismatch(cls, data, where)
    key_type, value_type = get_args(cls)
    keys, values, problems = [], [], []
    for key, value in data.items():
        item_where = join_path(where, key)
        with collect(problems):
            keys.append(parse(key_type, key, item_where))
        with collect(problems):
            values.append(parse(value_type, value, item_where))
    if problems:
        raise SpecError(problems)
    return dict(zip(keys, values, strict=True))


def _parse_literal(literal: Any, data: Any, where: str) -> Any:
    return _choose(get_args(literal), data, where)


def _choose(options: tuple[Any, ...], data: Any, where: str) -> Any:
    for option in options:
        if type(option) is type(data) and option == data:
            return option
    advice = _IN_QUOTES if isinstance(data, bool) else did_you_mean(data, options)
    raise SpecError.of(where, got=data, expected=_one_of(options), advice=advice)


def _parse_str(cls: Any, data: Any, where: str) -> str:
    if isinstance(data, str):
        return data
    advice = "" if data is None or isinstance(data, Mapping | list) else _IN_QUOTES
    raise _mismatch(cls, data, where, advice=advice)


def _parse_bool(cls: Any, data: Any, where: str) -> bool:
    if isinstance(data, bool):
        return data
    raise _mismatch(cls, data, where)


def _parse_int(cls: Any, data: Any, where: str) -> int:
    number = _finite(data)
    if number is None or int(number) != number:
        raise _mismatch(cls, data, where)
    return int(number)


def _parse_float(cls: Any, data: Any, where: str) -> float:
    number = _finite(data)
    if number is None:
        raise _mismatch(cls, data, where)
    value = float(number)
    if Decimal(str(value)) != number:
        raise _mismatch(cls, data, where, advice=f"as a float it would become {value}")
    return value


def _parse_array(cls: Any, data: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(data if isinstance(data, list) else None, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _mismatch(cls, data, where) from None
    if not np.isfinite(array).all():
        raise _mismatch(cls, data, where)
    return array


def _finite(data: Any) -> Decimal | None:
    """The finite number that `data` spells, to the last digit; None if it spells none (as does `True`).

    Spelling counts, not type: to YAML `1_000` is a string.
    """
    try:
        number = Decimal(str(data))
        return number if math.isfinite(float(number)) else None
    except (InvalidOperation, ValueError):
        return None


_PARSERS: dict[Any, Callable[[Any, Any, str], Any]] = {
    str: _parse_str,
    bool: _parse_bool,
    int: _parse_int,
    float: _parse_float,
    np.ndarray: _parse_array,
    tuple: _parse_tuple,
    dict: _parse_dict,
    Literal: _parse_literal,
    Annotated: _parse_annotated,
    Union: _parse_union,
    UnionType: _parse_union,
}


def _options(union: Any) -> list[Any]:
    """The types of a union other than None."""
    return [option for option in get_args(union) if option is not NoneType]


def _kinds(options: Iterable[Any]) -> dict[str, Any]:
    """The dataclasses of a tagged union by their kinds."""
    kinds = {}
    for option in options:
        tag = field_types(option).get("kind") if is_dataclass(option) else None
        if get_origin(tag) is not Literal:
            raise TypeError(f"{option} in a union must be a dataclass with a field `kind: Literal[...]`")
        kinds.update(dict.fromkeys(get_args(tag), option))
    return kinds


_WORDS = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    np.ndarray: "lists of finite numbers, all of one length",
}
_IN_QUOTES = "put it in quotes"


def _describe(cls: Any) -> str:
    """What belongs where a spec holds a `cls`."""
    if registry := registry_of(cls):
        return registry.expected if get_args(cls)[0] is str else f"a mapping whose kind is {registry.expected}"
    if get_origin(cls) is Annotated:
        cls = get_args(cls)[0]
    if cls in _WORDS:
        return _WORDS[cls]
    if get_origin(cls) is Literal:
        return _one_of(get_args(cls))
    if get_origin(cls) is tuple:
        return "a list" if Ellipsis in get_args(cls) else f"a list of {len(get_args(cls))}"
    if get_origin(cls) in (Union, UnionType):
        first, *others = _options(cls)
        words = f"a mapping whose kind is {_one_of(_kinds([first, *others]))}" if others else _describe(first)
        return f"{words}, or null" if NoneType in get_args(cls) else words
    return "a mapping"


def _mismatch(cls: Any, data: Any, where: str, advice: str = "") -> SpecError:
    return SpecError.of(where, got=data, expected=_describe(cls), advice=advice)


def _one_of(options: Iterable[Any]) -> str:
    names = [option if isinstance(option, str) else show(option) for option in options]
    return f"one of {', '.join(names)}" if len(names) > 1 else "".join(names)
