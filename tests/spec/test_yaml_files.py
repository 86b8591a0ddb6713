from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from icrl.spec.parse import SpecError, apply_overrides, read_yaml
from icrl.spec.yaml_files import dump_yaml, load_yaml


@pytest.fixture
def file(tmp_path):
    return tmp_path / "spec.yaml"


def mistakes(path) -> list[str]:
    """The lines of the error with which the file is refused, without the folder."""
    with pytest.raises(SpecError) as caught:
        read_yaml(path)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def test_a_file_holds_a_mapping(file):
    file.write_text("name: café\nlearner: {learning_rate: 0.1}\ntrain: [a, b]\n", encoding="utf-8")
    assert read_yaml(file) == {"name": "café", "learner": {"learning_rate": 0.1}, "train": ["a", "b"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "spec.yaml: got nothing; expected a mapping"),
        (b"# only a comment\n", "spec.yaml: got nothing; expected a mapping"),
        (b"null\n", "spec.yaml: got null; expected a mapping"),
        (b"- a\n- b\n", "spec.yaml: got ['a', 'b']; expected a mapping"),
        (b"just words\n", "spec.yaml: got 'just words'; expected a mapping"),
        (b"\x80\x81\xff", "spec.yaml: got a binary file; expected a YAML file"),
    ],
)
def test_a_file_that_holds_no_mapping_is_refused(file, content, message):
    file.write_bytes(content)
    assert mistakes(file) == [message]


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        (
            "a: 1\nb: [1\nc: 2\n",
            " on line 3 (while parsing a flow sequence, expected ',' or ']', but got ':')",
        ),
        ("a: b: c\n", " on line 1 (mapping values are not allowed here)"),
        (
            "a:\n\tb: 1\n",
            " on line 2 (while scanning for the next token, found character '\\t' that cannot start any token)",
        ),
        (
            "a: 1\n---\nb: 2\n",
            " on line 2 (expected a single document in the stream, but found another document)",
        ),
        ("a: 1\nb: !module x\n", " on line 2 (could not determine a constructor for the tag '!module')"),
        ("? [a]\n: 1\n", " on line 1 (while constructing a mapping, found unhashable key)"),
        ("a: !!int many\n", " (invalid literal for int() with base 10: 'many')"),
        ("a: \0\n", " (unacceptable character #x0000: special characters are not allowed)"),
    ],
)
def test_a_mistake_in_the_yaml_is_told_with_its_line(file, content, mistake):
    file.write_text(content)
    assert mistakes(file) == [f"spec.yaml: got a mistake{mistake}; expected valid YAML"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("08", 8), ("010", 10), ("-007", -7), ("+3", 3), ("0o17", 15), ("0x1F", 31), ("0b11", "0b11")],
        *[("1e-4", 1e-4), ("5E6", 5e6), ("-.5", -0.5), ("1.", 1.0), ("1:30", "1:30"), ("1_000", "1_000")],
        *[(word, word) for word in ("yes", "No", "on", "OFF", "y", "n", "=", "2020-01-01", "2020-99-99")],
        *[("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None), ("'08'", "08"), ("tRUE", "tRUE")],
    ],
)
def test_plain_scalars_are_what_yaml_1_2_says(file, text, value):
    file.write_text(f"a: {text}\n")
    found = read_yaml(file)["a"]
    assert (found, type(found)) == (value, type(value))
    if text:
        overridden = apply_overrides({}, [f"a={text}"])["a"]
        assert (overridden, type(overridden)) == (value, type(value))


def test_keys_are_names_as_they_are_written(file):
    file.write_text("{off: 1, 08: 2, 8: 3, true: 4, ~: 5, 1e3: 6, 'x': 7}")
    assert read_yaml(file) == {"off": 1, "08": 2, "8": 3, "true": 4, "~": 5, "1e3": 6, "x": 7}
    file.write_text("a: &a 8\n*a : *a\n")
    assert read_yaml(file) == {"a": 8, "8": 8}


@pytest.mark.parametrize("keys", [("8", "'8'"), ("8", '"8"'), ("off", "'off'"), ("null", "'null'"), ("&a 1", "1")])
def test_a_key_that_is_repeated_in_other_quotes_is_reported(file, keys):
    file.write_text("models:\n" + "".join(f"  {key}: 1\n" for key in keys))
    assert mistakes(file)[0].endswith("on lines 2 and 3; expected each key once")


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
words = st.sampled_from(
    ["08", "0o17", "1e-4", "yes", "off", "1:30", "2020-01-01", "~", "", "<<", "=", "1_0", ".5", "8"]
)


@given(st.dictionaries(words | st.text(), st.recursive(scalars | words, st.lists, max_leaves=5), min_size=1))
def test_a_dump_reads_back_equal_here_and_by_yaml_1_1(data):
    assert load_yaml(dump_yaml(data), "spec", "a mapping") == data
    assert yaml.safe_load(dump_yaml(data)) == data


def test_every_repeated_key_is_reported_with_its_lines(file):
    file.write_text("seed: 1\nlearner:\n  clip: 1\n  rate: 1\n  clip: 2\n  clip: 3\nseed: 2\n")
    assert mistakes(file) == [
        "spec.yaml: got 'clip' on lines 3 and 5 and 6; expected each key once",
        "spec.yaml: got 'seed' on lines 1 and 7; expected each key once",
    ]


def test_a_key_may_recur_in_another_mapping_and_over_a_merge_key(file):
    file.write_text("a: &a {x: 1, y: 1}\nb: {<<: *a, x: 2}\nc: [{x: 3}, {x: 4}]\n")
    assert read_yaml(file) == {"a": {"x": 1, "y": 1}, "b": {"x": 2, "y": 1}, "c": [{"x": 3}, {"x": 4}]}


def test_of_several_merged_mappings_an_earlier_one_counts(file):
    file.write_text("a: &a {rate: 1}\nb: &b {rate: 2, width: 3}\nc: {<<: [*a, *b]}\nd: {<<: [*b, *a], width: 4}\n")
    read = read_yaml(file)
    assert (read["c"], read["d"]) == ({"rate": 1, "width": 3}, {"rate": 2, "width": 4})


def test_only_mappings_can_be_merged(file):
    file.write_text("a: {<<: [1]}\n")
    assert mistakes(file) == [
        "spec.yaml: got a mistake on line 1 (expected a mapping to merge, but found a scalar); expected valid YAML"
    ]


def test_a_missing_file_is_refused_with_the_nearest_name(file):
    assert mistakes(file) == ["spec.yaml: got no such file; expected a YAML file"]
    (file.parent / "specs.yaml").touch()
    assert mistakes(file) == ["spec.yaml: got no such file; expected a YAML file; did you mean 'specs.yaml'?"]


def test_a_file_in_a_missing_folder_is_refused(tmp_path):
    assert mistakes(tmp_path / "no" / "spec.yaml") == ["spec.yaml: got no such file; expected a YAML file"]


def test_a_directory_is_refused(tmp_path):
    assert mistakes(tmp_path) == [f"{tmp_path.name}: got a directory; expected a YAML file"]


def test_a_file_that_the_system_cannot_read_is_refused_with_its_reason(file):
    file.touch()
    assert mistakes(file / "spec.yaml") == [
        "spec.yaml: got a file that cannot be read (Not a directory); expected a YAML file"
    ]
