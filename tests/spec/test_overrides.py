from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrl.spec.parse import SpecError, apply_overrides, difference, merge

BASE = {
    "seed": 3,
    "model": {"kind": "s5", "state_size": 64, "num_layers": 2},
    "learner": {"learning_rate": 0.1, "schedule": {"warm_up": 10}},
    "train": ["a", "b"],
    "projection": None,
}

keys = st.sampled_from("abcd")
scalars = st.none() | st.booleans() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2)
mappings = st.recursive(
    st.dictionaries(keys, scalars, max_size=3),
    lambda inner: st.dictionaries(keys, scalars | inner, max_size=3),
    max_leaves=8,
)


def mistakes(*assignments: str) -> list[str]:
    """The lines of the error with which the assignments are refused."""
    with pytest.raises(SpecError) as caught:
        apply_overrides(BASE, assignments)
    return str(caught.value).splitlines()


# ---- merge


def test_nested_mappings_merge_and_everything_else_is_replaced():
    merged = merge(BASE, {"seed": 4, "learner": {"schedule": {"cool_down": 5}}, "train": ["c"], "new": {"x": 1}})
    assert merged == BASE | {
        "seed": 4,
        "learner": {"learning_rate": 0.1, "schedule": {"warm_up": 10, "cool_down": 5}},
        "train": ["c"],
        "new": {"x": 1},
    }


def test_a_mapping_replaces_a_scalar_and_a_scalar_a_mapping():
    assert merge({"a": 1, "b": {"x": 1}}, {"a": {"x": 1}, "b": None}) == {"a": {"x": 1}, "b": None}


@pytest.mark.parametrize("kind", ["s5", "gru"])
def test_a_kind_is_a_field_like_any_other(kind):
    merged = merge(BASE, {"model": {"kind": kind, "state_size": 8}})
    assert merged["model"] == {"kind": kind, "state_size": 8, "num_layers": 2}


@given(mappings, mappings)
def test_merging_changes_neither_argument(base, override):
    originals = copy.deepcopy((base, override))
    merge(base, override)
    assert (base, override) == originals


@given(mappings, mappings)
def test_merging_again_changes_nothing(base, override):
    merged = merge(base, override)
    assert merge(merged, override) == merged


@given(mappings)
def test_nothing_is_neutral_on_either_side(data):
    assert merge(data, {}) == data
    assert merge({}, data) == data


@given(mappings, mappings, mappings)
def test_merging_one_by_one_is_merging_what_is_merged_if_only_mappings_meet_mappings(a, b, c):
    def collide(left, right) -> bool:
        """Whether a mapping meets something else, which a third would replace, not join."""
        return any(
            isinstance(left[key], dict) != isinstance(right[key], dict)
            or (isinstance(left[key], dict) and collide(left[key], right[key]))
            for key in left.keys() & right.keys()
        )

    if not (collide(a, b) or collide(b, c) or collide(a, c)):
        assert merge(merge(a, b), c) == merge(a, merge(b, c))


# ---- apply_overrides


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("seed=4", {"seed": 4}),
        ("learner.learning_rate=0.5", {"learner": {**BASE["learner"], "learning_rate": 0.5}}),
        ("learner.learning_rate=1e-3", {"learner": {**BASE["learner"], "learning_rate": 1e-3}}),
        ("learner.schedule.warm_up=1", {"learner": {**BASE["learner"], "schedule": {"warm_up": 1}}}),
        ("train=[c,d]", {"train": ["c", "d"]}),
        ("projection={size: 8}", {"projection": {"size": 8}}),
        ("train=null", {"train": None}),
        ("name=a=b", {"name": "a=b"}),
        ("name=''", {"name": ""}),
        ("new.path.to=true", {"new": {"path": {"to": True}}}),
        ("model.kind=gru", {"model": {**BASE["model"], "kind": "gru"}}),
    ],
)
def test_an_assignment_sets_the_value_at_its_path(assignment, expected):
    assert apply_overrides(BASE, [assignment]) == BASE | expected


def test_no_assignment_changes_nothing():
    assert apply_overrides(BASE, []) == BASE


@pytest.mark.parametrize("order", [1, -1])
def test_assignments_act_together_in_any_order(order):
    assignments = ["model.num_layers=1", "model.kind=gru", "learner={clip: 1}"][::order]
    changed = apply_overrides(BASE, assignments)
    assert changed["model"] == {"kind": "gru", "state_size": 64, "num_layers": 1}
    assert changed["learner"] == BASE["learner"] | {"clip": 1}


def test_the_data_is_left_as_it_was():
    original = copy.deepcopy(BASE)
    apply_overrides(BASE, ["learner.schedule.warm_up=1", "seed=4"])
    assert original == BASE


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["seed"], "seed: got no '='; expected key.path=value"),
        (["=3"], "=3: got an empty key; expected key.path=value"),
        (["learner..clip=3"], "learner..clip=3: got an empty key; expected key.path=value"),
        ([".seed=3"], ".seed=3: got an empty key; expected key.path=value"),
        (["seed="], "seed: got nothing; expected a value after '=', null for none"),
        (
            ["train=[a"],
            "train: got a mistake on line 1 (while parsing a flow sequence, expected ',' or ']', "
            "but got '<stream end>'); expected valid YAML",
        ),
        (["model={kind: s5, kind: gru}"], "model: got 'kind' on lines 1 and 1; expected each key once"),
        (["seed.x=1"], "seed: got 3; expected a mapping that could hold seed.x"),
        (["train.0=c"], "train: got ['a', 'b']; expected a mapping that could hold train.0"),
        (["train.x.y=1"], "train: got ['a', 'b']; expected a mapping that could hold train.x.y"),
        (["model.kind.x=1"], "model.kind: got 's5'; expected a mapping that could hold model.kind.x"),
        (["projection.size=8"], "projection: got null; expected a mapping that could hold projection.size"),
        (["seed=1", "seed=2"], "seed: got both seed=1 and seed=2; expected only one of them"),
        (["new={x: 1}", "new.y=2"], "new.y: got both new={x: 1} and new.y=2; expected only one of them"),
        (["new.y=2", "new={x: 1}"], "new: got both new.y=2 and new={x: 1}; expected only one of them"),
    ],
)
def test_a_bad_assignment_is_refused(assignments, message):
    assert mistakes(*assignments) == [message]


def test_paths_that_only_begin_alike_do_not_clash():
    assert apply_overrides({}, ["a=1", "ab=2", "b.c=3", "b.cd=4"]) == {
        "a": 1,
        "ab": 2,
        "b": {"c": 3, "cd": 4},
    }


def test_all_bad_assignments_are_reported_together():
    assert mistakes("seed", "=1", "seed.x=1", "seed=4") == [
        "seed: got no '='; expected key.path=value",
        "=1: got an empty key; expected key.path=value",
        "seed: got 3; expected a mapping that could hold seed.x",
    ]


# ---- difference


def test_a_difference_names_each_field_with_both_values():
    new = merge(BASE, {"seed": 4, "learner": {"schedule": {"warm_up": None}}})
    new["model"] = {"kind": "gru", "size": 1}
    assert difference(BASE, new) == [
        "seed: 3 -> 4",
        "model.kind: 's5' -> 'gru'",
        "model.state_size: 64 -> absent",
        "model.num_layers: 2 -> absent",
        "model.size: absent -> 1",
        "learner.schedule.warm_up: 10 -> null",
    ]


def test_lists_differ_item_by_item_and_tuples_count_as_lists():
    assert difference({"train": ["a", "b"]}, {"train": ("a", "c", "d")}) == [
        "train[1]: 'b' -> 'c'",
        "train[2]: absent -> 'd'",
    ]
    assert difference({"train": ["a", "b"]}, {"train": ("a", "b")}) == []


def test_a_whole_part_that_only_one_side_has_is_told_once():
    assert difference({"a": {"x": 1}}, {"a": None, "b": [True]}) == [
        "a: {'x': 1} -> null",
        "b: absent -> [true]",
    ]


def test_one_and_one_point_zero_are_the_same_number_but_true_is_none():
    assert difference({"a": 1}, {"a": 1.0}) == []
    assert difference({"a": 1}, {"a": True}) == ["a: 1 -> true"]


@given(mappings, mappings)
def test_nothing_differs_exactly_from_itself_and_swapping_sides_swaps_the_values(old, new):
    assert difference(old, copy.deepcopy(old)) == []
    swapped = []
    for line in difference(new, old):
        path, values = line.split(": ", 1)
        after, before = values.split(" -> ")
        swapped.append(f"{path}: {before} -> {after}")
    assert sorted(swapped) == sorted(difference(old, new))
