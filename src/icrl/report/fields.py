"""A JSON object under check: every reader returns a field, or raises an error that names file and field."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from icrl.errors import UserError, is_file_name, show


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises UserError if the file cannot be read or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(data, ensure_ascii=False).encode()  # refuses halves of a character, which nothing can print
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a JSON file") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON ({error}); make it again") from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: got {show(data)}; expected a JSON object")
    return data


class Fields:
    """The fields of one JSON object. Every reader raises UserError: source, field, got, expected."""

    def __init__(self, data: Mapping[str, Any], source: str, path: str = ""):
        self._data, self._source, self._path = data, source, path

    def error(self, name: str, *, got: str, expected: str, advice: str = "") -> UserError:
        """The error for one field."""
        message = f"{self._source}: {self._dotted(name)}: got {got}; expected {expected}"
        return UserError(f"{message}; {advice}" if advice else message)

    def schema(self, version: int) -> None:
        """Require the field `schema` to be this version."""
        if self._data.get("schema") != version:
            raise self.error(
                "schema",
                got=show(self._data.get("schema")),
                expected=str(version),
                advice="make the file again with this version of icrl",
            )

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._data.get(name) is not None

    def child(self, name: str) -> Fields:
        """The fields of a nested object."""
        return Fields(self._get(name, dict, "an object"), self._source, self._dotted(name))

    def children(self) -> dict[str, Fields]:
        """Every field as a nested object."""
        return {name: self.child(name) for name in self._data}

    def mapping(self, name: str) -> dict[str, Any]:
        """A nested object whose fields are free."""
        return self._get(name, dict, "an object")

    def text(self, name: str) -> str:
        """A string."""
        return self._get(name, str, "a string")

    def name(self, name: str) -> str:
        """A string that files may be named after."""
        value = self.text(name)
        if value and not is_file_name(value):
            raise self.error(name, got=show(value), expected="a plain name, since files are named after it")
        return value

    def choice(self, name: str, choices: Collection[str]) -> str:
        """One of the given strings."""
        value = self.text(name)
        if value not in choices:
            raise self.error(name, got=show(value), expected=f"one of {', '.join(choices)}")
        return value

    def count(self, name: str, least: int = 1) -> int:
        """A whole number."""
        expected = f"a whole number, at least {least}"
        value = self._get(name, int, expected)
        if value < least:
            raise self.error(name, got=show(value), expected=expected)
        return value

    def number(self, name: str) -> float:
        """A finite number."""
        value = self._get(name, (int, float), "a finite number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.error(name, got=show(value), expected="a finite number")
        return number

    def array(self, name: str, layout: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """Nested lists of finite numbers, `layout` in words; None in `shape` is any length but zero."""
        sizes = " x ".join("n" if size is None else str(size) for size in shape)
        expected = f"{layout}, {sizes} finite numbers"
        try:
            array = np.asarray(self._get(name, list, expected), dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise self.error(name, got="uneven lists, or other things", expected=expected) from None
        if (
            array.size == 0
            or array.ndim != len(shape)
            or any(want not in (None, got) for got, want in zip(array.shape, shape, strict=True))
        ):
            raise self.error(name, got=" x ".join(map(str, array.shape)), expected=expected)
        if not np.isfinite(array).all():
            raise self.error(name, got="null, NaN or infinity among them", expected=expected)
        return array

    def _dotted(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _get(self, name: str, kinds: type | tuple[type, ...], expected: str) -> Any:
        if name not in self._data:
            raise self.error(name, got="nothing", expected=expected)
        value = self._data[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise self.error(name, got=show(value), expected=expected)
        return value
