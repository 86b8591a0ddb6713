from __future__ import annotations

import math
import pickle
from dataclasses import dataclass, field
from typing import Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrl.errors import UserError
from icrl.spec.parse import Problem, SpecError, parse, to_dict
from icrl.spec.yaml_files import dump_yaml, load_yaml


@dataclass(frozen=True)
class S5:
    kind: Literal["s5"]
    state_size: int = 64
    step_range: tuple[float, float] = (1e-3, 1e-1)

    def __post_init__(self) -> None:
        if self.state_size < 1:
            raise SpecError.of("state_size", got=self.state_size, expected="at least 1", advice="try 64")


@dataclass(frozen=True)
class Recurrent:
    kind: Literal["gru", "lstm"]
    num_layers: int = 1


@dataclass(frozen=True)
class Learner:
    learning_rate: float
    anneal: bool = True
    clip: float | None = None


@dataclass(frozen=True)
class Experiment:
    name: str
    model: S5 | Recurrent
    learner: Learner
    train: tuple[str, ...] = ()
    budgets: dict[str, int] = field(default_factory=dict)
    critic: S5 | Recurrent | None = None
    backend: Literal["auto", "off", 8] = "auto"
    seed: Optional[int] = None  # noqa: UP045 (the older spelling works too)


MODEL = {"kind": "s5"}
LEARNER = {"learning_rate": 0.1}

floats = st.floats(allow_nan=False, allow_infinity=False)
models = st.builds(S5, kind=st.just("s5"), state_size=st.integers(1), step_range=st.tuples(floats, floats)) | st.builds(
    Recurrent, kind=st.sampled_from(["gru", "lstm"]), num_layers=st.integers()
)
experiments = st.builds(
    Experiment,
    name=st.text(),
    model=models,
    learner=st.builds(Learner, learning_rate=floats, anneal=st.booleans(), clip=st.none() | floats),
    train=st.lists(st.text()).map(tuple),
    budgets=st.dictionaries(st.text(), st.integers()),
    critic=st.none() | models,
    backend=st.sampled_from(["auto", "off", 8]),
    seed=st.none() | st.integers(),
)


def mistakes(cls, data) -> list[str]:
    """The lines of the error with which `data` is refused."""
    with pytest.raises(SpecError) as caught:
        parse(cls, data)
    return str(caught.value).splitlines()


# ---- Round trips


@given(experiments)
def test_parsing_the_plain_values_of_a_spec_gives_an_equal_spec(spec):
    assert parse(Experiment, to_dict(spec)) == spec


@given(experiments)
def test_a_spec_survives_a_yaml_file(spec):
    assert parse(Experiment, load_yaml(dump_yaml(to_dict(spec)), "spec", "a mapping")) == spec


def test_plain_values_are_mappings_lists_and_scalars_only():
    spec = Experiment("x", S5("s5"), Learner(0.1), train=("a", "b"), budgets={"cpu": 5})
    assert to_dict(spec) == {
        "name": "x",
        "model": {"kind": "s5", "state_size": 64, "step_range": [0.001, 0.1]},
        "learner": {"learning_rate": 0.1, "anneal": True, "clip": None},
        "train": ["a", "b"],
        "budgets": {"cpu": 5},
        "critic": None,
        "backend": "auto",
        "seed": None,
    }


def test_fields_left_out_take_their_defaults():
    spec = parse(Experiment, {"name": "x", "model": MODEL, "learner": LEARNER})
    assert spec == Experiment("x", S5("s5", 64, (1e-3, 1e-1)), Learner(0.1))


def test_a_field_that_the_dataclass_computes_is_neither_read_nor_written():
    @dataclass(frozen=True)
    class Square:
        side: int
        area: int = field(init=False, default=0)

        def __post_init__(self) -> None:
            object.__setattr__(self, "area", self.side**2)

    assert to_dict(Square(3)) == {"side": 3}
    assert parse(Square, {"side": 3}).area == 9
    assert mistakes(Square, {"side": 3, "area": 9}) == ["area: got an unknown key; expected side"]


def test_the_kind_selects_the_dataclass_of_a_union():
    spec = parse(Experiment, {"name": "x", "model": {"kind": "lstm"}, "learner": LEARNER, "critic": MODEL})
    assert spec.model == Recurrent("lstm")
    assert spec.critic == S5("s5")


# ---- Numbers


@pytest.mark.parametrize(
    ("data", "number"),
    [
        ("5e6", 5_000_000),
        (5e6, 5_000_000),
        (2.0, 2),
        ("-2.50e1", -25),
        (-3, -3),
        (2**70, 2**70),
        ("1e22", 10**22),
    ],
)
def test_an_int_field_takes_every_spelling_of_an_integer(data, number):
    value = parse(int, data)
    assert value == number
    assert type(value) is int


@pytest.mark.parametrize(
    "data",
    [2.5, "2.5", "1e-4", "1e-999999999", True, "five", "", math.inf, math.nan, "1e999999999", None, [1]],
)
def test_an_int_field_refuses_what_is_no_integer(data):
    assert len(mistakes(int, data)) == 1


@pytest.mark.parametrize(
    ("data", "number"),
    [("1e-4", 1e-4), ("5E6", 5e6), (3, 3.0), ("-.5", -0.5), ("0.1", 0.1), (2**53, 2.0**53)],
)
def test_a_float_field_takes_every_spelling_of_a_number(data, number):
    value = parse(float, data)
    assert value == number
    assert type(value) is float


@pytest.mark.parametrize(
    "data",
    [math.inf, -math.inf, math.nan, "nan", "-inf", "snan", "1e999", False, "fast", None, 10**400],
)
def test_a_float_field_refuses_what_is_no_finite_number(data):
    assert mistakes(float, data)[0].endswith("expected a finite number")


@given(floats)
def test_a_float_spelt_out_is_the_same_float(number):
    assert parse(float, repr(number)) == number


@given(st.integers())
def test_an_int_becomes_a_float_only_if_it_can_come_back(number):
    try:
        assert int(parse(float, number)) == number
    except SpecError as error:
        assert abs(number) > 2**53
        assert "as a float it would become" in str(error)


def test_a_number_that_a_float_cannot_hold_is_refused():
    assert mistakes(float, 2**53 + 1) == [
        "spec: got 9007199254740993; expected a finite number; as a float it would become 9007199254740992.0"
    ]
    assert mistakes(float, "1e-999") == ["spec: got '1e-999'; expected a finite number; as a float it would become 0.0"]


def test_booleans_and_numbers_are_never_each_other():
    assert parse(bool, False) is False
    assert mistakes(bool, 1) == ["spec: got 1; expected true or false"]
    assert mistakes(int, True) == ["spec: got true; expected an integer"]
    assert mistakes(float, True) == ["spec: got true; expected a finite number"]
    assert mistakes(Literal[1, 2], True) == ["spec: got true; expected one of 1, 2; put it in quotes"]


# ---- Messages


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"nmae": "y"},
            "nmae: got an unknown key; expected one of name, model, learner, train, budgets, "
            "critic, backend, seed; did you mean 'name'?",
        ),
        ({"learner": {}}, "learner.learning_rate: got nothing; expected a finite number"),
        (
            {"learner": {"learning_rate": "fast"}},
            "learner.learning_rate: got 'fast'; expected a finite number",
        ),
        ({"learner": 0.1}, "learner: got 0.1; expected a mapping"),
        ({"learner": None}, "learner: got null; expected a mapping"),
        ({"learner": {**LEARNER, "anneal": "yes"}}, "learner.anneal: got 'yes'; expected true or false"),
        ({"name": 12}, "name: got 12; expected a string; put it in quotes"),
        ({"name": None}, "name: got null; expected a string"),
        (
            {"model": {"kind": "s55"}},
            "model.kind: got 's55'; expected one of s5, gru, lstm; did you mean 's5'?",
        ),
        (
            {"model": {"kind": "GRU"}},
            "model.kind: got 'GRU'; expected one of s5, gru, lstm; did you mean 'gru'?",
        ),
        ({"model": {"kind": ["s5"]}}, "model.kind: got ['s5']; expected one of s5, gru, lstm"),
        ({"model": {"state_size": 4}}, "model.kind: got nothing; expected one of s5, gru, lstm"),
        ({"model": "s5"}, "model: got 's5'; expected a mapping whose kind is one of s5, gru, lstm"),
        ({"critic": 3}, "critic: got 3; expected a mapping whose kind is one of s5, gru, lstm, or null"),
        (
            {"model": {"kind": "gru", "state_size": 4}},
            "model.state_size: got an unknown key; expected one of kind, num_layers",
        ),
        ({"model": {"kind": "s5", "state_size": 0}}, "model.state_size: got 0; expected at least 1; try 64"),
        ({"model": {"kind": "s5", "step_range": [1]}}, "model.step_range: got [1]; expected a list of 2"),
        (
            {"model": {"kind": "s5", "step_range": [1, "b"]}},
            "model.step_range[1]: got 'b'; expected a finite number",
        ),
        ({"train": "cartpole"}, "train: got 'cartpole'; expected a list; write it in brackets: [a, b]"),
        ({"train": ["a", True]}, "train[1]: got true; expected a string; put it in quotes"),
        ({"budgets": [1]}, "budgets: got [1]; expected a mapping"),
        ({"budgets": {"cpu": 0.5}}, "budgets.cpu: got 0.5; expected an integer"),
        ({"budgets": {7: 1}}, "budgets.7: got 7; expected a string; put it in quotes"),
        ({"backend": False}, "backend: got false; expected one of auto, off, 8; put it in quotes"),
        ({"backend": "aut"}, "backend: got 'aut'; expected one of auto, off, 8; did you mean 'auto'?"),
    ],
)
def test_each_mistake_is_told_with_its_place_and_its_repair(change, message):
    assert mistakes(Experiment, {"name": "x", "model": MODEL, "learner": LEARNER} | change) == [message]


def test_a_whole_spec_that_is_no_mapping_is_refused():
    assert mistakes(Experiment, [1]) == ["spec: got [1]; expected a mapping"]


def test_a_missing_field_is_described_by_its_type():
    @dataclass(frozen=True)
    class Everything:
        literal: Literal["a"]
        optional: int | None
        pair: tuple[int, int]

    assert mistakes(Everything, {}) == [
        "literal: got nothing; expected a",
        "optional: got nothing; expected an integer, or null",
        "pair: got nothing; expected a list of 2",
    ]


def test_all_mistakes_are_reported_together():
    data = {
        "nam": "x",
        "model": {"kind": "s5", "state_size": -1},
        "learner": {"learning_rate": "fast", "anneal": 1},
        "train": ["a", 1, 2],
        "budgets": {1: "many"},
    }
    assert [line.split(":")[0] for line in mistakes(Experiment, data)] == [
        "nam",
        "name",
        "model.state_size",
        "learner.learning_rate",
        "learner.anneal",
        "train[1]",
        "train[2]",
        "budgets.1",
        "budgets.1",
    ]


def test_paths_begin_where_the_caller_says():
    with pytest.raises(SpecError) as caught:
        parse(Learner, {}, where="scales.cpu")
    assert caught.value.problems == (Problem("scales.cpu.learning_rate", "nothing", "a finite number"),)


def test_a_check_of_a_whole_object_is_reported_at_its_path():
    @dataclass(frozen=True)
    class Pair:
        low: int
        high: int

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise SpecError([Problem("", "low > high", "low <= high"), Problem("high", "1", "2 or more")])

    assert mistakes(dict[str, Pair], {"a": {"low": 2, "high": 1}}) == [
        "a: got low > high; expected low <= high",
        "a.high: got 1; expected 2 or more",
    ]


def test_a_long_value_is_cut_short_in_its_message():
    (line,) = mistakes(int, "x" * 10_000)
    assert len(line) < 200


def test_a_spec_error_is_the_users_mistake_and_a_value_error():
    error = SpecError.of("seed", got=-1, expected="at least 0")
    assert isinstance(error, UserError)
    assert isinstance(error, ValueError)
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


# ---- Types that specs cannot hold


@dataclass(frozen=True)
class Untagged:
    size: int


@dataclass(frozen=True)
class Vague:
    kind: str


@pytest.mark.parametrize("cls", [complex, list[int], int | str, S5 | Untagged, S5 | Vague])
def test_a_type_that_specs_cannot_hold_is_our_own_bug(cls):
    with pytest.raises(TypeError):
        parse(cls, {"kind": "s5"})
