"""What the annotations of a spec's fields say beyond their types: bounds of the values, and what these determine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from icrl.errors import Problem, SpecError, is_file_name, join_path, show
from icrl.plugins import Registry

Purpose = Literal["training", "evaluation"]


@dataclass(frozen=True)
class Determines:
    """What a field can change: ``Annotated[int, Determines("evaluation")]``. Without a word it is the training."""

    what: Literal["evaluation", "nothing"]


def determines(annotation: Any, purpose: Purpose) -> bool:
    """Whether a field so annotated can change the training; or the evaluation, which training changes too."""
    notes = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((note.what for note in notes if isinstance(note, Determines)), "training") in ("training", purpose)


@dataclass(frozen=True)
class Bound:
    """What belongs in a field, in words and as a check: ``Annotated[int, at_least(1)]``."""

    expected: str
    allows: Callable[[Any], bool]


def at_least(low: float) -> Bound:
    """Numbers from ``low`` on."""
    return Bound(f"at least {low}", lambda number: number >= low)


def above(low: float) -> Bound:
    """Numbers greater than ``low``."""
    return Bound(f"above {low}", lambda number: number > low)


def between(low: float, high: float) -> Bound:
    """Numbers from ``low`` to ``high``, both included."""
    return Bound(f"between {low} and {high}", lambda number: low <= number <= high)


MAX_SEED = 2**32 - 1

PositiveInt = Annotated[int, at_least(1)]
PositiveFloat = Annotated[float, above(0)]
NonNegativeFloat = Annotated[float, at_least(0)]
Fraction = Annotated[float, between(0, 1)]
Seed = Annotated[int, between(0, MAX_SEED)]

PLAIN_NAME = "a plain name, since folders and figures are named after it"
Name = Annotated[str, Bound(PLAIN_NAME, is_file_name)]
Label = Annotated[str, Bound(PLAIN_NAME, lambda text: not text or is_file_name(text))]
"""A name, or nothing."""


class Spec:
    """Base of the dataclasses that specs are made of: none can be made with a field out of its bounds."""

    def __post_init__(self) -> None:
        """Raises SpecError with every problem found."""
        if problems := self.problems():
            raise SpecError(problems)

    def problems(self) -> list[Problem]:
        """Fields out of bounds, to which a spec adds how its fields contradict each other."""
        values = {name: getattr(self, name) for name in field_types(type(self))}
        return list(out_of_bounds(type(self), values))


@cache
def field_types(cls: type) -> dict[str, Any]:
    """The annotations of the fields that a dataclass is made with."""
    types = get_type_hints(cls, include_extras=True)
    return {field.name: types[field.name] for field in fields(cls) if field.init}


def registry_of(annotation: Any) -> Registry | None:
    """What a field so annotated names things from, if it does."""
    notes = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((note for note in notes if isinstance(note, Registry)), None)


def named_outside(spec: Any) -> Iterator[tuple[Registry, str]]:
    """What a spec names from outside icrl, and where it is found."""
    for name, annotation in field_types(type(spec)).items():
        yield from _named_outside(annotation, getattr(spec, name))


def origins(spec: Any) -> dict[str, dict[str, str]]:
    """Where what a spec names from outside icrl comes from, by name: see `Registry.origin`."""
    return {name: registry.origin(name) for registry, name in named_outside(spec)}


def _named_outside(annotation: Any, value: Any) -> Iterator[tuple[Registry, str]]:
    if registry := registry_of(annotation):
        name = value if isinstance(value, str) else registry.name_of(type(value))
        if name not in registry.builtin:
            yield registry, name
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if is_dataclass(value):
        yield from named_outside(value)
    elif get_origin(annotation) is tuple and Ellipsis in get_args(annotation):
        for item in value:
            yield from _named_outside(get_args(annotation)[0], item)


def out_of_bounds(cls: type, values: Mapping[str, Any]) -> Iterator[Problem]:
    """A problem for every bound of a dataclass's fields that one of these values, or an item of it, breaks."""
    for name, value in values.items():
        yield from _broken(field_types(cls)[name], value, name)


def _broken(annotation: Any, value: Any, where: str) -> Iterator[Problem]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _broken(arguments[0], value, where)
        for note in arguments[1:]:
            if isinstance(note, Bound) and not note.allows(value):
                yield Problem(where, show(value), note.expected)
            elif isinstance(note, Registry) and isinstance(value, str):
                yield from note.problems(value, where)
    elif origin is tuple and isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _broken(arguments[0 if Ellipsis in arguments else index], item, f"{where}[{index}]")
    elif origin is dict and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _broken(arguments[1], item, join_path(where, key))
    elif origin in (Union, UnionType) and value is not None:
        for option in arguments:
            yield from _broken(option, value, where)
