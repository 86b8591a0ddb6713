"""What the annotations of a spec's fields say beyond their types: bounds of the values, and what these determine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from icrl.errors import Problem, SpecError, is_file_name, join_path, show

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
    elif origin is tuple:
        for index, item in enumerate(value):
            yield from _broken(arguments[0 if Ellipsis in arguments else index], item, f"{where}[{index}]")
    elif origin is dict:
        for key, item in value.items():
            yield from _broken(arguments[1], item, join_path(where, key))
    elif origin in (Union, UnionType) and value is not None:
        for option in arguments:
            yield from _broken(option, value, where)
