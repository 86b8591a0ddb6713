"""Specs are found by path, and shipped ones by name from any folder."""

from pathlib import Path

import pytest

from icrl.errors import SpecError
from icrl.spec import shipped
from icrl.spec.shipped import find_spec_file, shipped_specs


@pytest.fixture(autouse=True)
def two_shipped_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ships meta_brax and popgym from a folder of the test's own, and runs the test in an empty folder."""
    folder = tmp_path / "experiments"
    elsewhere = tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    for name in ("popgym", "meta_brax"):
        (folder / f"{name}.yaml").touch()
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    monkeypatch.chdir(elsewhere)
    return folder


@pytest.mark.parametrize("name", ["meta_brax", "meta_brax.yaml"])
def test_a_shipped_spec_is_found_by_name_from_any_folder(two_shipped_specs: Path, name: str):
    assert find_spec_file(name) == two_shipped_specs / "meta_brax.yaml"


def test_a_file_of_the_users_own_comes_before_a_shipped_one():
    Path("meta_brax.yaml").touch()
    assert find_spec_file("meta_brax.yaml") == Path("meta_brax.yaml")
    assert find_spec_file(str(Path("meta_brax.yaml").resolve())) == Path("meta_brax.yaml").resolve()


def test_the_shipped_specs_are_listed_in_order_without_hidden_files(two_shipped_specs: Path):
    (two_shipped_specs / "._meta_brax.yaml").touch()
    assert list(shipped_specs()) == ["meta_brax", "popgym"]


EXPECTED = "expected the path of a YAML file, or the name of a shipped spec: meta_brax, popgym"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("meta_brex", f"spec: got 'meta_brex'; {EXPECTED}; did you mean 'meta_brax'?"),
        (
            "experiments/meta_brax.yaml",
            f"spec: got 'experiments/meta_brax.yaml'; {EXPECTED}; did you mean 'meta_brax'?",
        ),
        ("qqq", f"spec: got 'qqq'; {EXPECTED}"),
        (".", f"spec: got '.', a folder; {EXPECTED}"),
        ("", f"spec: got '', a folder; {EXPECTED}"),
    ],
)
def test_anything_else_is_refused_with_what_there_is(given: str, message: str):
    with pytest.raises(SpecError) as refusal:
        find_spec_file(given)
    assert str(refusal.value) == message


def test_the_real_folder_ships_the_main_job(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    assert shipped_specs()["meta_brax"].is_file()
