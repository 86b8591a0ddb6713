"""What a spec names from outside icrl: where it is found, what it is recorded as, and what every mistake is told."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from icrl import plugins
from icrl.envs.suites import find_suite
from icrl.errors import SpecError
from icrl.fields import origins
from icrl.models import MODELS, GRUSpec, NamedModel
from icrl.runs.directory import RunDirectory
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import load_experiment
from icrl.spec.parse import parse, to_dict
from tests.outside import ENVIRONMENT, MODEL, forgotten, lay_out

SPEC = """
environment:
  suite: my_envs:Walk
  train: [right]
  held_out: [left]
  projection: {kind: "my_envs:SHUFFLE", observation_size: 3, action_size: 2, curriculum: [sign]}
models:
  mine: {kind: "my_models:DecaySpec", width: 4, decay: 0.5}
num_rows: 4
total_env_steps: 64
learner: {kind: ppo, rollout_steps: 8, num_minibatches: 2}
scales: {smoke: {}}
"""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    with forgotten():
        yield


@pytest.fixture
def spec_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec beside the modules that it names, read from another folder."""
    return lay_out(tmp_path, monkeypatch, SPEC) / "mine.yaml"


INSTALLED = "[icrl.models]\ndecay = my_package.models:DecaySpec\n[icrl.suites]\nwalk = my_package.envs:Walk\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with entry points, as pip installs it."""
    package, about = tmp_path / "site" / "my_package", tmp_path / "site" / "my_package-1.2.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text(MODEL)
    (package / "envs.py").write_text(ENVIRONMENT)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(INSTALLED)
    (about / "top_level.txt").write_text("my_package\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    plugins._entry_points.cache_clear()


def test_a_spec_finds_what_lies_beside_it_and_is_written_as_it_was_read(spec_file: Path):
    spec = load_experiment(str(spec_file))
    assert (spec.model.width, spec.model.decay) == (4, 0.5)  # type: ignore[attr-defined]
    assert type(spec.model).__name__ == "DecaySpec"
    plain = to_dict(spec)
    assert plain["model"] == {"kind": "my_models:DecaySpec", "width": 4, "decay": 0.5}
    assert plain["environment"]["suite"] == "my_envs:Walk"
    assert plain["environment"]["projection"]["kind"] == spec.environment.rung == "my_envs:SHUFFLE"
    assert parse(ExperimentSpec, plain) == spec
    found = origins(spec)
    assert list(found) == ["my_envs:Walk", "my_envs:SHUFFLE", "my_models:DecaySpec"]
    assert found["my_models:DecaySpec"]["file"] == str(spec_file.with_name("my_models.py").resolve())
    environments = spec.environment.build(["left"], 2)
    assert environments.tasks == ("left",) and environments.observation_size == 3 + 3 + 2


def test_the_working_folder_is_looked_into_too_and_nothing_installed_is_hidden(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_models.py").write_text(MODEL)
    (tmp_path / "yaml.py").write_text("raise RuntimeError")
    assert MODELS.find("my_models:DecaySpec").__name__ == "DecaySpec"
    assert sys.path[-1] == str(tmp_path) and sys.path[0] != str(tmp_path)


@pytest.mark.parametrize("first", ["", "{here}"])  # in a notebook, and under `python -m`
def test_the_working_folder_hides_nothing_where_python_has_put_it_first(
    first: str, spec_file: Path, installed: None, monkeypatch: pytest.MonkeyPatch
):
    here = Path.cwd()
    monkeypatch.setattr(sys, "path", [first.format(here=here), *sys.path])
    for stray in ("my_models", "my_package"):
        (here / f"{stray}.py").write_text("DecaySpec = Walk = 'a stray'")
    load_experiment(str(spec_file))
    assert MODELS.origin("my_models:DecaySpec")["file"] == str(spec_file.with_name("my_models.py"))
    assert MODELS.origin("decay")["version"] == "my-package 1.2"


def test_what_lies_beside_one_spec_is_not_installed_for_the_next(spec_file: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "my_envs.py").write_text(ENVIRONMENT)
    plugins.search(spec_file.parent)
    MODELS.find("my_models:DecaySpec")
    plugins.search(other)
    find_suite("my_envs:Walk")
    assert sys.modules["my_envs"].__file__ == str(other / "my_envs.py")


def mistakes(name: str, path: str = "model.kind") -> str:
    with pytest.raises(SpecError) as caught:
        parse(NamedModel, {"kind": name})
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (
            "",
            "my_modelz:DecaySpec",
            "kind: got 'my_modelz:DecaySpec', but there is no module my_modelz; expected it in {here}; "
            "install it, put it there, or put its folder into PYTHONPATH",
        ),
        (
            MODEL,
            "my_models.more:DecaySpec",
            "kind: got 'my_models.more:DecaySpec', but there is no module my_models.more; expected a module and a name "
            "in it",
        ),
        (
            MODEL,
            "my_models:DecySpec",
            "kind: got 'my_models:DecySpec', which {here}/my_models.py does not hold; expected the name of something "
            "in it; did you mean 'DecaySpec'?",
        ),
        (
            MODEL,
            "my_models:Decay",
            "kind: got 'my_models:Decay', a class (SequenceModel, Module); expected the model's spec, a frozen "
            "dataclass derived from icrl.models.ModelSpec, whose build() gives the model",
        ),
        (
            MODEL.replace("@dataclass(frozen=True)", "@dataclass"),
            "my_models:DecaySpec",
            "kind: got 'my_models:DecaySpec', a class (ModelSpec, Spec); expected a frozen dataclass derived from "
            "icrl.models.ModelSpec: put @dataclass(frozen=True) above it",
        ),
        (
            MODEL.replace("def build", "def make"),
            "my_models:DecaySpec",
            "kind: got 'my_models:DecaySpec', a class (ModelSpec, Spec); expected one that has build()",
        ),
        (
            MODEL.replace("width: int = 8", "size: int = 8"),
            "my_models:DecaySpec",
            "kind: got 'my_models:DecaySpec', a class (ModelSpec, Spec); expected one with `width`, a field or a "
            "property",
        ),
        (
            MODEL.replace("width: int = 8", "width: int = 8; kind: str = 'mine'"),
            "my_models:DecaySpec",
            "kind: got 'my_models:DecaySpec', a class (ModelSpec, Spec); expected one without a field `kind`, which is "
            "its name in a spec",
        ),
        (
            "import no_such_package",
            "my_models:DecaySpec",
            "kind: got 'my_models:DecaySpec', whose module fails (ModuleNotFoundError: No module named "
            "'no_such_package'; {here}/my_models.py, line 1); expected one that can be imported",
        ),
        (
            "\nx = (1,\n",
            "my_models:DecaySpec",
            "kind: got 'my_models:DecaySpec', whose module fails (SyntaxError: '(' was never closed (my_models.py, "
            "line 2); {here}/my_models.py, line 2); expected one that can be imported",
        ),
        (
            "limit = 1 / 0",
            "my_models:DecaySpec",
            "kind: got 'my_models:DecaySpec', whose module fails (ZeroDivisionError: division by zero; "
            "{here}/my_models.py, line 1); expected one that can be imported",
        ),
        (
            "import sys\nsys.exit(3)",  # a run of W&B puts a function of its own in the place of sys.exit
            "my_models:DecaySpec",
            "kind: got 'my_models:DecaySpec', whose module fails (SystemExit: 3; {here}/my_models.py, line 2); "
            "expected one that can be imported",
        ),
        (
            "import shlex\nnames = shlex.split('\"')",
            "my_models:DecaySpec",
            "kind: got 'my_models:DecaySpec', whose module fails (ValueError: No closing quotation; "
            "{here}/my_models.py, line 2); expected one that can be imported",
        ),
        (
            "",
            "my_models",
            "kind: got 'my_models'; expected one of s5, gru, lstm, deltanet, transformer, mlp, hybrid, or module:Class",
        ),
        ("", "os:sep", "kind: got 'os:sep', a value of type str; expected a frozen dataclass derived from "
         "icrl.models.ModelSpec"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_module_is_told(source: str, name: str, message: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_models.py").write_text(source)
    assert mistakes(name) == message.replace("{here}", str(tmp_path))


def test_fields_from_outside_are_read_as_icrls_own(spec_file: Path):
    with pytest.raises(SpecError) as caught:
        load_experiment(str(spec_file), overrides=["model.decay=0", "model.width=big", "model.decai=1"])
    assert str(caught.value).splitlines() == [
        "model.decai: got an unknown key; expected one of width, decay; did you mean 'decay'?",
        "model.width: got 'big'; expected an integer",
        "model.decay: got 0.0; expected above 0",
    ]


def test_fields_that_no_spec_can_hold_are_told(spec_file: Path):
    source = MODEL.replace("width: int = 8", "width: int = 8\n    sizes: set[int] = frozenset()")
    spec_file.with_name("my_models.py").write_text(source)
    with pytest.raises(SpecError, match=r"model: got my_models:DecaySpec, whose fields cannot be read \(model.sizes: "):
        load_experiment(str(spec_file), overrides=["model.sizes=[1]"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "environment.suite=my_envs:shuffle",
            "environment.suite: got 'my_envs:shuffle', a value of type function; expected a class derived from "
            "icrl.envs.environment.Environment, or an icrl.envs.suites.Suite",
        ),
        (
            "environment.projection.kind=my_envs:shuffle",
            "environment.projection.kind: got 'my_envs:shuffle', a value of type function; expected an "
            "icrl.envs.projection.Family",
        ),
        (
            "environment.projection.curriculum=[my_envs:none]",
            "environment.projection.curriculum[0]: got 'my_envs:none', which {here}/my_envs.py does not hold; expected "
            "the name of something in it",
        ),
        ("environment.train=[up]", "environment.train[0]: got 'up'; expected one of right, left"),
    ],
)
def test_suites_and_projections_are_told_apart_from_other_things(spec_file: Path, override: str, message: str):
    with pytest.raises(SpecError) as caught:
        load_experiment(str(spec_file), overrides=[override])
    assert str(caught.value) == message.replace("{here}", str(spec_file.parent))


def test_an_environment_that_cannot_be_made_by_itself_is_told(spec_file: Path):
    source = ENVIRONMENT.replace("tasks: tuple[str, ...] = ", "size: int\n    tasks: tuple[str, ...] = ")
    spec_file.with_name("my_envs.py").write_text(source)
    with pytest.raises(SpecError, match=r"environment\.suite: got 'my_envs:Walk', which cannot be made \(TypeError: "):
        load_experiment(str(spec_file))


@pytest.mark.parametrize("how", ["named", "imported"])
def test_two_modules_of_one_name_are_not_confused(how: str, spec_file: Path, tmp_path: Path):
    if how == "named":
        load_experiment(str(spec_file))
    else:
        spec_file.with_name("my_models.py").write_text(f"import my_envs\n{MODEL}")
        plugins.search(spec_file.parent)
        MODELS.find("my_models:DecaySpec")
    other = tmp_path / "other"
    other.mkdir()
    for file in spec_file.parent.glob("*.*"):
        (other / file.name).write_text(file.read_text())
    with pytest.raises(SpecError, match=r"while .*specs holds another my_envs, in use already; expected one of them"):
        load_experiment(str(other / "mine.yaml"))


def test_an_installed_package_gives_names_of_its_own(installed: None):
    spec = parse(NamedModel, {"kind": "decay", "width": 3})
    assert spec.width == 3
    assert MODELS.name_of(type(spec)) == "decay"
    assert MODELS.origin("decay")["version"] == "my-package 1.2"
    assert find_suite("walk").tasks == ("right", "left")
    assert mistakes("dekay") == (
        "kind: got 'dekay'; expected one of s5, gru, lstm, deltanet, transformer, mlp, hybrid, decay, or module:Class; "
        "did you mean 'decay'?"
    )


def test_names_of_icrls_own_cannot_be_taken(installed: None, tmp_path: Path):
    about = tmp_path / "site" / "my_package-1.2.dist-info"
    (about / "entry_points.txt").write_text("[icrl.models]\ngru = my_package.models:DecaySpec\n")
    plugins._entry_points.cache_clear()
    assert MODELS.find("gru") is GRUSpec


def test_a_folder_that_a_run_names_is_looked_into_last_and_only_if_it_is_ones_own(tmp_path, monkeypatch):
    run, own = tmp_path / "run", tmp_path / "own"
    for folder in (run, own):
        folder.mkdir()
        (folder / "my_models.py").write_text(MODEL)
    (own / "other.py").write_text("")
    monkeypatch.chdir(tmp_path)
    name = "my_models:DecaySpec"
    for origin in (
        None,
        [],
        {name: None},
        {name: {"file": "my_models.py"}},
        {name: {"file": str(run / "my_models.py")}},
        {name: {"file": str(own / "other.py")}},
        {f"my_package.{name}": {"file": str(own / "my_models.py")}},
    ):
        plugins.search_like(origin, run)
    plugins.search_like({name: {"file": "/my\0models.py"}, "x": {"file": "/x"}}, run)
    with pytest.raises(SpecError, match="there is no module my_models"):
        MODELS.find(name)
    with monkeypatch.context() as patch:
        patch.setattr("os.getuid", lambda: 12345)
        plugins.search_like({name: {"file": str(own / "my_models.py")}}, run)
        assert plugins._of_runs == [] or (own.stat().st_uid == 0)
        plugins._of_runs.clear()
    found = {name: {"file": str(own / "my_models.py")}}
    with RunDirectory.open(tmp_path / "read", {}, ["icrl"]) as read:
        read.update_manifest(plugins=found)
    RunDirectory.read(read.path)
    assert plugins._of_runs == []  # to look at a run is not to take modules from where it did
    plugins.search_like(found, run)
    assert MODELS.find(name).__module__ == "my_models"


def test_a_fault_in_a_folder_without_init_is_seen_to_lie_there(tmp_path: Path):
    (tmp_path / "my_folder").mkdir()
    (tmp_path / "my_folder" / "models.py").write_text(f"{MODEL}\ndef fail():\n    1 / 0\n")
    plugins.search(tmp_path)
    MODELS.find("my_folder.models:DecaySpec")
    with pytest.raises(ZeroDivisionError) as caught:
        sys.modules["my_folder.models"].fail()
    assert plugins.culprit(caught.value).startswith(f"{tmp_path}/my_folder/models.py, line ")
