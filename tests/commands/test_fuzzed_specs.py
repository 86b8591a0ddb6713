"""Wrong specs and overrides at volume: each is refused with a message and exit code 2, and nothing is written."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from icrl.errors import IcrlError
from icrl.runs import compilation_cache
from icrl.runs.directory import RunDirectory
from icrl.spec.experiment_file import load_experiment
from icrl.spec.parse import to_dict
from tests.commands.runs import TINY, icrl
from tests.mutations import ODD, cases, mutated, mutated_bytes, places_in


class AcceptedError(IcrlError):
    """Stands for the start of a run: the spec has passed every check."""

    exit_code = 99


@pytest.fixture(autouse=True)
def nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(*_: object) -> None:
        raise AcceptedError("accepted")

    monkeypatch.setattr(RunDirectory, "open", accept)
    monkeypatch.setattr(compilation_cache, "enable", lambda: None)


class WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def train(*arguments: str) -> Result:
    """Trains up to the moment at which the run directory would be made; holds what is true of every outcome."""
    before = sorted(os.listdir())
    done = icrl("train", *arguments)
    assert done.exit_code in (2, AcceptedError.exit_code), done.stderr
    assert done.stdout == ""
    assert done.stderr.strip() and "Traceback" not in done.stderr
    assert sorted(os.listdir()) == before
    return done


@cases(250)
@given(mutated(yaml.safe_load(TINY.read_text())))
def test_a_spec_with_other_values_in_some_places_is_refused_or_fit_to_train(spec: Any):
    Path("spec.yaml").write_text(yaml.dump(spec, Dumper=WithoutAliases), encoding="utf-8")
    train("spec.yaml")


@cases(200)
@given(mutated_bytes(TINY.read_bytes()))
def test_a_spec_with_other_bytes_in_some_places_is_refused_or_fit_to_train(text: bytes):
    Path("spec.yaml").write_bytes(text)
    train("spec.yaml")


FIELDS = [".".join(map(str, place)) for place in places_in(to_dict(load_experiment("meta_brax"))) if place]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
VALUES = st.sampled_from([str(value).replace("\0", "") for value in ODD]) | TEXTS
OVERRIDES = st.builds("{}={}".format, st.sampled_from(FIELDS) | TEXTS, VALUES) | TEXTS
NAMES = ("--model", "--scale", "--point", "--seed", "--num-seeds", "--devices", "--wandb")
OPTIONS = st.builds("{}={}".format, st.sampled_from(NAMES), VALUES)


@cases(350)
@given(st.lists(OVERRIDES | OPTIONS, min_size=1, max_size=3))
def test_overrides_and_options_are_refused_or_fit_to_train(arguments: list[str]):
    train(str(TINY), *arguments)


@cases(60)
@given(VALUES)
def test_whatever_is_given_for_a_spec_is_refused_unless_it_is_one(name: str):
    assert train("--", name).exit_code == 2


# ---- What fuzzing and reading found, by name


@pytest.mark.parametrize("field", ["name", "models", "scales"])
@pytest.mark.parametrize("name", ["../escaped", "/escaped", "..", ".hidden", "a\\b", "a\nb", "x" * 101])
def test_a_name_that_leads_out_of_the_results_folder_is_refused(field: str, name: str):
    spec = yaml.safe_load(TINY.read_text())
    if field == "name":
        spec["name"] = name
    else:
        spec[field] = {name: next(iter(spec[field].values()))}
    Path("spec.yaml").write_text(yaml.safe_dump(spec))
    assert "expected a plain name" in train("spec.yaml").stderr


def test_a_name_may_hold_spaces_and_letters_of_any_alphabet():
    assert train(str(TINY), "name=Größe 2 (été)").exit_code == AcceptedError.exit_code


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["x" * 300], "expected the path of a YAML file"),
        (["~nobody-of-that-name/spec.yaml"], "expected the path of a YAML file"),
        ([str(TINY), "--devices", "²"], "--devices: got ²; expected all or one of"),
        ([str(TINY), "seed=4294967296"], "seed: got 4294967296; expected between 0 and 4294967295"),
        ([str(TINY), "seed=4294967295", "num_seeds=2"], "num_seeds: got 2; expected seeds up to 4294967295"),
        ([str(TINY), "evaluation.seed=-1"], "evaluation.seed: got -1; expected between 0 and 4294967295"),
        ([str(TINY), "total_env_steps=1e300"], "expected at most 2147483647 updates"),
        ([str(TINY), "num_rows=4e9"], "expected at most 2147483647 updates, or env steps of an update"),
        ([str(TINY), "num_rows=0x" + "f" * 5000], "num_rows: got an integer of thousands of digits"),
    ],
)
def test_what_once_ended_in_a_traceback_or_after_hours_is_refused(arguments: list[str], complaint: str):
    done = train(*arguments)
    assert done.exit_code == 2
    assert complaint in done.stderr


@pytest.mark.parametrize("lengths", ["²", "9" * 5000, "8,,8", "-8", "1e3"])
def test_a_length_that_is_no_number_is_refused(lengths: str):
    done = icrl("benchmark", f"--seq-len={lengths}")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "expected sweep, a length in steps, or several: 128,1024" in done.stderr
