"""The errors icrl raises on purpose. Every layer may import them: a spec can refuse its own values."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any


class IcrlError(Exception):
    """An error whose message is all that the reader needs: the command line prints it without a traceback."""

    exit_code = 1


class UserError(IcrlError):
    """The user's mistake, which the user can repair."""

    exit_code = 2


class MachineError(IcrlError):
    """The machine's failure: a full disk, a folder that cannot be written."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One mistake in a spec: where it is, what is there, what belongs there, and what to do about it."""

    where: str
    """Path of the field, such as `environment.train[0]`; empty for the whole spec."""
    got: str
    """What was found, in words or as `show` renders a value."""
    expected: str
    """What belongs there, in words."""
    advice: str = ""
    """The repair, where one can be suggested."""

    def __str__(self) -> str:
        text = f"{self.where or 'spec'}: got {self.got}; expected {self.expected}"
        return f"{text}; {self.advice}" if self.advice else text


class SpecError(UserError, ValueError):
    """Everything that is wrong with a spec, one `Problem` a mistake and one line a problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))

    @classmethod
    def of(cls, where: str, *, got: Any, expected: str, advice: str = "") -> SpecError:
        """The error of one problem; `where` is relative to the object raising it, `got` the value found."""
        return cls([Problem(where, show(got), expected, advice)])


@contextmanager
def collect(problems: list[Problem]) -> Iterator[None]:
    """Moves the problems of a SpecError raised inside into `problems`, so that checking can go on."""
    try:
        yield
    except SpecError as error:
        problems.extend(error.problems)


class _YamlRepr(reprlib.Repr):
    """Short Python notation with YAML's constants; reprlib calls the method named after a value's type."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 120

    def repr_bool(self, value: bool, level: int) -> str:
        return "true" if value else "false"

    def repr_NoneType(self, value: None, level: int) -> str:
        return "null"

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 10_000 else "an integer of thousands of digits"


_yaml_repr = _YamlRepr()


def show(value: Any) -> str:
    """A value as messages print it: on one line, cut short if long, with YAML's true, false and null."""
    return _yaml_repr.repr(value)


def did_you_mean(word: Any, options: Iterable[Any]) -> str:
    """The advice to take the option that looks like `word`, whatever its case; empty if none does."""
    by_lower_case = {str(option).lower(): option for option in options}
    nearest = get_close_matches(str(word).lower(), by_lower_case, n=1)
    return f"did you mean {show(by_lower_case[nearest[0]])}?" if nearest else ""


def is_file_name(text: str) -> bool:
    """Whether a file or folder may be named so, inside another: it leads nowhere else, and is fit to print."""
    return 0 < len(text) <= 100 and text.isprintable() and not text.startswith(".") and not set(text) & set("/\\")


def join_path(where: str, key: Any) -> str:
    """The path of the field `key` of the object at `where`, as in `model.kind`; either may be empty."""
    return f"{where}.{key}" if where and key != "" else f"{where}{key}"
