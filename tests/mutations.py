"""Wrong input at volume: plain values with some places changed, and bytes with some of them changed."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

ODD = (
    None, True, False, "", " ", "nan", "1e-4", "1e400", "²", "../../escaped", "/escaped", "a\0b", "[/x]", "x" * 300,
    0, -1, 1, 2, 3, 7, 2**31, 2**32, 2**63, 10**30, -(10**9),
    0.0, -0.0, 0.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"),
    [], {}, [[]], [None], {"": None}, {"kind": "s5"}, {"kind": None}, [1, "a", 2.5], {"a": {"b": {}}},
)  # fmt: skip
"""Values that break naive code: of the wrong type, out of range, not finite, paths out of the folder."""

PIECES = (b"\0", b"\xff", b"{", b"}", b"[[[", b"]", b":", b"\n", b"\t", b"&a ", b"*a ", b"<<: ", b"- ", b"!!x ", b"'")
"""Bytes that mean something to a parser."""

Place = tuple[Any, ...]


def cases(number: int) -> Callable[[Callable], Callable]:
    """Runs a property on so many examples, the same ones every time."""
    suppressed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=number, derandomize=True, deadline=None, database=None, suppress_health_check=suppressed
    )


def odd_values() -> st.SearchStrategy[Any]:
    """A value that a field is unlikely to expect."""
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    return st.sampled_from(ODD) | scalars


def places_in(value: Any, place: Place = ()) -> list[Place]:
    """The places of a nested value, outermost first."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place, *(inner for key in keys for inner in places_in(value[key], (*place, key)))]


def at(value: Any, place: Place) -> Any:
    """What the nested value holds at a place."""
    for key in place:
        value = value[key]
    return value


def changed(value: Any, place: Place, change: Callable[[Any, Any], None]) -> Any:
    """A copy of the nested value in which ``change(container, key)`` was applied to the place."""
    value = dict(value) if isinstance(value, dict) else list(value)
    if len(place) == 1:
        change(value, place[0])
    else:
        value[place[0]] = changed(value[place[0]], place[1:], change)
    return value


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The nested value with one to three places replaced, deleted, doubled, or filled with another part of it."""
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in places_in(value) if place]
        if not places:
            return value
        place = draw(st.sampled_from(places))
        what = draw(st.sampled_from(("replace", "replace", "delete", "add", "transplant")))
        new = at(value, draw(st.sampled_from(places))) if what == "transplant" else draw(odd_values())

        def change(container: Any, key: Any, what: str = what, new: Any = new) -> None:
            if what == "delete":
                del container[key]
            elif what != "add":
                container[key] = new
            elif isinstance(container, dict):
                container[f"{key}_"] = new
            else:
                container.insert(key, new)

        value = changed(value, place, change)
    return value


@st.composite
def mutated_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with one to four runs of them overwritten, dropped or repeated, or cut off somewhere."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), start + draw(st.integers(1, 12)))
        what = draw(st.sampled_from(("overwrite", "overwrite", "drop", "repeat", "cut")))
        new = draw(st.sampled_from(PIECES) | st.binary(max_size=4)) if what == "overwrite" else b""
        rest = b"" if what == "cut" else data[start if what == "repeat" else end :]
        data = data[: end if what == "repeat" else start] + new + rest
    return data
