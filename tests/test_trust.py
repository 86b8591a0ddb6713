"""Files from elsewhere cannot run code, and a run directory cannot make icrl write outside it."""

import ast
import json
import os
import pickle
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from icrl.errors import IcrlError, SpecError, UserError
from icrl.runs.checkpoints import Checkpoints
from icrl.runs.directory import RunDirectory
from icrl.spec.parse import apply_overrides, read_yaml

SOURCE = Path(__file__).parents[1] / "src" / "icrl"
SOURCES = sorted(SOURCE.rglob("*.py"))

FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "os.system", "os.popen", "np.load", "numpy.load", "jnp.load", "yaml.load",
    "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader",
}  # fmt: skip
FORBIDDEN_OPTIONS = {"shell", "allow_pickle"}


def dangers(source: str) -> Iterator[str]:
    """What in a file could run code that came with data."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name.split(".")[0] in FORBIDDEN_MODULES)
            case ast.ImportFrom(module=str(module)):
                yield from [module] if module.split(".")[0] in FORBIDDEN_MODULES else []
            case ast.Name() | ast.Attribute():
                yield from {ast.unparse(node)} & FORBIDDEN_CALLS
            case ast.keyword(arg=str(option)):
                yield from {option} & FORBIDDEN_OPTIONS


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_nothing_in_icrl_unpickles_evaluates_or_starts_a_shell(path: Path):
    assert list(dangers(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import loads",
        "x = eval(text)",
        "def f():\n    return np.load(path)",
        "class Loader(yaml.UnsafeLoader): ...",
        "subprocess.run(command, shell=True)",
    ],
)
def test_what_could_run_code_is_found(source: str):
    assert len(list(dangers(source))) == 1


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A file that exists once foreign code has run."""
    return tmp_path / "sprung"


class Bomb:
    """Its pickle touches a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_the_bomb_of_these_tests_goes_off_where_pickles_are_loaded(trap: Path):
    pickle.loads(pickle.dumps(Bomb(trap)))
    assert trap.exists()


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir ['{trap}']",
        "!!python/object/new:os.mkdir ['{trap}']",
        "!!python/name:os.mkdir",
        "!!python/module:os",
    ],
)
def test_a_yaml_file_or_override_that_asks_for_python_is_refused_and_runs_nothing(
    tmp_path: Path, trap: Path, value: str
):
    value = value.format(trap=trap)
    (tmp_path / "spec.yaml").write_text(f"name: probe\nlearner: {value}\n")
    with pytest.raises(SpecError, match="could not determine a constructor for the tag"):
        read_yaml(tmp_path / "spec.yaml")
    with pytest.raises(SpecError, match="could not determine a constructor for the tag"):
        apply_overrides({}, [f"learner={value}"])
    assert not trap.exists()


@pytest.mark.parametrize("text", ["a: &a {b: *a}\n", "a: &a [*a]\n", "a: " + "[" * 1000, "a: " + "{b: " * 1000])
def test_yaml_that_contains_itself_or_never_ends_is_refused(tmp_path: Path, text: str):
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(SpecError, match="got a mistake"):
        read_yaml(tmp_path / "spec.yaml")


def test_a_few_lines_of_yaml_cannot_ask_for_all_memory(tmp_path: Path):
    levels = [f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}" for level in range(1, 12)]
    (tmp_path / "spec.yaml").write_text("\n".join(["a0: &a0 {x: 1, y: 2}", *levels]))
    with pytest.raises(SpecError, match="more keys than any spec has"):
        read_yaml(tmp_path / "spec.yaml")


STATE = {"params.kernel": np.arange(6, dtype=np.float32).reshape(3, 2), "count": np.array(1, np.int32)}


def test_a_checkpoint_full_of_pickles_with_right_checksums_is_refused_and_runs_nothing(tmp_path: Path, trap: Path):
    Checkpoints(tmp_path / "whole").save(1, STATE, metadata={"env_steps": 1})
    files = [file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole" / "1").rglob("*") if file.is_file()]
    array = tmp_path / "array.npy"
    np.save(array, np.array([Bomb(trap)]), allow_pickle=True)
    for number, replaced in enumerate([[file] for file in files] + [files]):
        for payload in (pickle.dumps(Bomb(trap)), array.read_bytes()):
            folder = Path(shutil.copytree(tmp_path / "whole", tmp_path / f"{number}-{len(payload)}"))
            for file in replaced:
                (folder / file).write_bytes(payload)
            if folder / "1" / "checksums.json" not in [folder / file for file in replaced]:
                present = [file for file in (folder / "1").rglob("*") if file.is_file()]
                checksums = {str(file.relative_to(folder / "1")): zlib.crc32(file.read_bytes()) for file in present}
                del checksums["checksums.json"]
                (folder / "1" / "checksums.json").write_text(json.dumps(checksums))
            try:
                _, restored = Checkpoints(folder).restore(STATE)
            except IcrlError:
                continue
            raise AssertionError(f"restored {restored} from {replaced}")
    assert not trap.exists()


# ---- Out of the run directory

LINKED = ("metrics.jsonl", "manifest.json", "evaluation.json", ".lock", "probe-cpu-bars.png", "checkpoints", "wandb")


@pytest.mark.parametrize("name", [*LINKED, "checkpoints/7", "checkpoints/7.unfinished"])
def test_a_link_in_a_run_directory_that_leads_out_of_it_is_refused_and_not_followed(tmp_path: Path, name: str):
    run, outside = tmp_path / "run", tmp_path / "outside"
    RunDirectory.open(run, {"name": "probe"}, ["icrl"]).close("done")
    (run / "checkpoints").mkdir()
    outside.write_text("precious")
    if (run / name).is_dir():
        (run / name).rmdir()
    else:
        (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(outside)
    for open_run in (lambda: RunDirectory.open(run, {"name": "probe"}, ["icrl"]), lambda: RunDirectory.read(run)):
        with pytest.raises(UserError, match="expected no link out of a run directory"):
            open_run()
    assert outside.read_text() == "precious"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["outside", "run"]


def test_links_within_a_run_directory_and_to_the_whole_of_it_are_followed(tmp_path: Path):
    RunDirectory.open(tmp_path / "run", {"name": "probe"}, ["icrl"]).close("done")
    (tmp_path / "run" / "newest.json").symlink_to("manifest.json")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    RunDirectory.open(tmp_path / "link", {"name": "probe"}, ["icrl"]).close("done")
    assert RunDirectory.read(tmp_path / "link").manifest["num_resumes"] == 1


@pytest.mark.parametrize("id_", ["../../escaped", "/escaped", "", 3, None])
def test_a_manifest_whose_id_is_none_is_refused(tmp_path: Path, id_: object):
    RunDirectory.open(tmp_path, {"name": "probe"}, ["icrl"]).close("done")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "id": id_}))
    with pytest.raises(UserError, match=r"is damaged \(id\)"):
        RunDirectory.open(tmp_path, {"name": "probe"}, ["icrl"])


@pytest.mark.parametrize("name", ["../elsewhere", "{outside}"])
def test_checksums_of_files_outside_a_checkpoint_make_it_unreadable(tmp_path: Path, name: str, caplog):
    checkpoints = Checkpoints(tmp_path / "run")
    for update in (1, 2):
        checkpoints.save(update, STATE)
    name = name.format(outside=tmp_path / "outside")
    (tmp_path / "outside").touch()
    (checkpoints.path / "2" / "checksums.json").write_text(json.dumps({name: 0}))
    restored = checkpoints.restore(STATE)
    assert restored is not None and restored[0] == 1
    assert "which is not in the checkpoint" in caplog.text


def test_a_folder_that_is_no_number_to_python_is_no_checkpoint(tmp_path: Path):
    (tmp_path / "²").mkdir()
    assert Checkpoints(tmp_path).updates() == []
