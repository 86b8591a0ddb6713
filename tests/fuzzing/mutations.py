"""Wrong input at volume: plain values with one to three places changed, and bytes with some of them changed."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

ODD = (
    None, True, False, "", " ", "nan", "1e-4", "1e400", "²", "../../escaped", "/escaped", "a\0b", "x" * 300,
    0, -1, 1, 2, 3, 7, 2**31, 2**32, 2**63, 10**30, 16**5000, -(10**9),
    0.0, -0.0, 0.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"),
    [], {}, [[]], [None], {"": None}, {"kind": "s5"}, {"kind": None}, [1, "a", 2.5], {"a": {"b": {}}},
)  # fmt: skip
"""Values that break naive code: of the wrong type, out of range, not finite, paths out of the folder."""

Place = tuple[Any, ...]


def seldom_random(examples: int) -> Callable[[Callable], Callable]:
    """So many examples, the same ones in every session."""
    suppressed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=suppressed
    )


def odd_values() -> st.SearchStrategy[Any]:
    """A value that a field is unlikely to expect."""
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    return st.sampled_from(ODD) | scalars


def paths(value: Any, path: Place = ()) -> list[Place]:
    """The places of a nested value, outermost first."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path, *(inner for key in keys for inner in paths(value[key], (*path, key)))]


def changed(value: Any, path: Place, change: Callable[[Any, Any], Any]) -> Any:
    """A copy of the nested value in which `change(container, key)` was applied to the place."""
    if not path:
        return value
    value = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1:
        change(value, path[0])
    else:
        value[path[0]] = changed(value[path[0]], path[1:], change)
    return value


@st.composite
def mutated(draw: st.DrawFn, value: Any, others: st.SearchStrategy[Any] | None = None) -> Any:
    """The nested value with one to three places replaced, deleted, renamed, repeated, or swapped for another part."""
    others = odd_values() if others is None else others
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in paths(value) if place]
        if not places:
            return value
        place = draw(st.sampled_from(places))
        what = draw(st.sampled_from(("replace", "replace", "replace", "delete", "add", "transplant")))
        new = draw(others) if what in ("replace", "add") else None
        if what == "transplant":
            new = value
            for key in draw(st.sampled_from(places)):
                new = new[key]

        def change(container: Any, key: Any, what: str = what, new: Any = new) -> None:
            if what == "delete":
                del container[key]
            elif what == "add" and isinstance(container, dict):
                container[f"{key}_"] = new
            elif what == "add":
                container.insert(key, new)
            else:
                container[key] = new

        value = changed(value, place, change)
    return value


@st.composite
def mutated_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with one to four runs of them overwritten, dropped, repeated, or cut off at the end."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), start + draw(st.integers(1, 12)))
        what = draw(st.sampled_from(("overwrite", "drop", "repeat", "cut")))
        middle = {"drop": b"", "repeat": 2 * data[start:end], "cut": b""}.get(what)
        if middle is None:
            middle = draw(st.sampled_from(INSERTS) | st.binary(max_size=4))
        data = data[:start] + middle + (b"" if what == "cut" else data[end:])
    return data


INSERTS = (
    b"\0",
    b"\xff",
    b"{",
    b"}",
    b"[" * 2000,
    b"]",
    b":",
    b"\n",
    b"\t",
    b"&a ",
    b"*a ",
    b"<<: ",
    b"- ",
    b"!!x ",
    b"'",
    b'"',
)
