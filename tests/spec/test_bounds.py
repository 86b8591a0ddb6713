"""Bounds in annotations: read by the parser and when a spec is made, and told together with all else that is wrong."""

from dataclasses import dataclass, field
from typing import Annotated

import pytest

from icrl.errors import Problem, SpecError
from icrl.fields import Spec, above, at_least, between
from icrl.spec.parse import parse


def mistakes(cls, data) -> list[str]:
    """The lines of the error with which `data` is refused."""
    with pytest.raises(SpecError) as caught:
        parse(cls, data)
    return str(caught.value).splitlines()


@dataclass(frozen=True)
class Bounded(Spec):
    rate: Annotated[float, above(0)]
    weight: Annotated[float, between(0, 1)] | None = None
    sizes: tuple[Annotated[int, at_least(1)], ...] = ()
    pair: tuple[Annotated[int, at_least(0)], float] = (0, 0.0)
    budgets: dict[str, Annotated[int, at_least(1)]] = field(default_factory=dict)
    low: int = 0
    high: int = 0

    def problems(self) -> list[Problem]:
        crossed = [Problem("low", str(self.low), "at most high")] if self.low > self.high else []
        return [*super().problems(), *crossed]


OUT_OF_BOUNDS = dict(rate=0.0, weight=1.5, sizes=(4, 0), pair=(-1, -1.0), budgets={"a": 0, "b": 1}, low=2, high=1)


def test_fields_out_of_bounds_and_fields_that_contradict_each_other_are_told_together():
    messages = [
        "rate: got 0.0; expected above 0",
        "weight: got 1.5; expected between 0 and 1",
        "sizes[1]: got 0; expected at least 1",
        "pair[0]: got -1; expected at least 0",
        "budgets.a: got 0; expected at least 1",
        "low: got 2; expected at most high",
    ]
    assert mistakes(Bounded, OUT_OF_BOUNDS) == messages
    assert mistakes(dict[str, Bounded], {"x": OUT_OF_BOUNDS}) == [f"x.{message}" for message in messages]
    with pytest.raises(SpecError) as caught:
        Bounded(**OUT_OF_BOUNDS)
    assert str(caught.value).splitlines() == messages
    least = dict(rate=1e-9, weight=0, sizes=(1,), pair=(0, -1.0), budgets={"a": 1})
    assert parse(Bounded, least) == Bounded(**least)


def test_bounds_are_told_beside_mistakes_of_other_kinds():
    data = OUT_OF_BOUNDS | {"weight": "heavy", "weigth": 1}
    places = [line.partition(":")[0] for line in mistakes(Bounded, data)]
    assert places == ["weigth", "weight", "rate", "sizes[1]", "pair[0]", "budgets.a"]


def test_the_bounds_of_any_dataclass_are_read():
    @dataclass(frozen=True)
    class Plain:
        size: Annotated[int, at_least(1)]

    assert mistakes(Plain, {"size": 0}) == ["size: got 0; expected at least 1"]
    assert mistakes(Plain, {}) == ["size: got nothing; expected an integer"]
    assert mistakes(Plain, {"size": "big"}) == ["size: got 'big'; expected an integer"]
