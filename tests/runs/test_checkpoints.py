import logging
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import icrl.runs.checkpoints
from icrl.errors import MachineError, UserError
from icrl.runs.checkpoints import Checkpoint, Checkpoints

ON_TWO_DEVICES = """
import sys, jax, jax.numpy as jnp
from pathlib import Path
from icrl.runs.checkpoints import Checkpoints
first, second = jax.devices()
checkpoints = Checkpoints(Path(sys.argv[1]))
state = {"a": jax.device_put(jnp.arange(3.0), second)}
checkpoints.save(1, state)
_, restored = checkpoints.restore(state)
with jax.default_device(second):
    _, elsewhere = checkpoints.restore(state)
print(restored["a"].devices() == {first}, elsewhere["a"].devices() == {second})
"""


class State(NamedTuple):
    agent: dict[str, Any]
    moments: Any
    count: jax.Array
    key_data: jax.Array

    @property
    def params(self) -> Any:
        return self.agent["params"]


def make_state(seed: int = 0, width: int = 5) -> State:
    """Every dtype, scalars, arrays without elements, weak types, and floats that differ in bits only."""
    key = jax.random.key(seed)
    params = {
        "encoder": {"kernel": jax.random.normal(key, (3, width)), "bias": jnp.zeros(width)},
        "s5": [jnp.array([-0.0, jnp.inf, jnp.nan]), jax.random.normal(key, (7,), jnp.bfloat16)],
    }
    return State(
        agent={"params": params},
        moments={
            "flags": jnp.array([True, False]),
            "empty": jnp.zeros((2, 0), jnp.int32),
            "byte": jnp.uint8(255),
            "weak": (jnp.asarray(1.5), jnp.full((2, 2), seed)),
        },
        count=jnp.int32(seed),
        key_data=jax.random.key_data(key),
    )


def same_bits(a: Any, b: Any) -> bool:
    leaves_a, leaves_b = jax.tree.leaves(a), jax.tree.leaves(b)
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        x.aval == y.aval and np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(leaves_a, leaves_b, strict=True)
    )


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


# What a loss of power leaves


def test_the_disk_holds_a_checkpoint_and_its_name_before_the_one_before_goes(tmp_path: Path, monkeypatch):
    synced: list[Path] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_state())
    synced.clear()
    held: dict[str, set[Path]] = {}
    rmtree, rename = shutil.rmtree, Path.rename

    def renamed(path: Path, target: Path) -> Path:
        held["renamed"] = set(synced)
        return rename(path, target)

    def removed(path: Path, *args: Any, **kwargs: Any) -> None:
        held.setdefault("removed", set(synced))
        rmtree(path, *args, **kwargs)

    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(shutil, "rmtree", removed)
    checkpoints.save(2, make_state())
    checkpoints.save(3, make_state())
    unfinished = tmp_path / "3.unfinished"
    files = {unfinished / path.relative_to(tmp_path / "3") for path in (tmp_path / "3").rglob("*")}
    assert {unfinished, *files} <= held["renamed"]
    assert tmp_path in held["removed"]


# What comes back


def test_a_restored_state_is_the_saved_one_bit_for_bit(tmp_path: Path):
    state = make_state(seed=3)
    Checkpoints(tmp_path).save(12, state)
    update, restored = Checkpoints(tmp_path).restore(make_state(seed=4))
    assert update == 12
    assert same_bits(restored, state)


def test_shapes_suffice_as_a_template(tmp_path: Path):
    Checkpoints(tmp_path).save(1, make_state())
    _, restored = Checkpoints(tmp_path).restore(jax.eval_shape(make_state))
    assert same_bits(restored, make_state())


def test_a_compiled_function_takes_a_restored_state_without_compiling_again(tmp_path: Path):
    advance = jax.jit(lambda state: state._replace(count=state.count + 1))
    state = advance(advance(make_state()))
    Checkpoints(tmp_path).save(2, state)
    _, restored = Checkpoints(tmp_path).restore(state)
    assert same_bits(advance(restored), advance(state))
    assert advance._cache_size() == 1


def test_a_restored_state_may_be_donated(tmp_path: Path):
    Checkpoints(tmp_path).save(1, make_state())
    _, restored = Checkpoints(tmp_path).restore(make_state())
    advance = jax.jit(lambda state: jax.tree.map(lambda x: x + x, state), donate_argnums=0)
    assert same_bits(advance(restored), advance(make_state()))


def test_a_state_is_restored_to_the_default_device_wherever_it_was_saved(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_DEVICES, str(tmp_path)],
        env={"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("True True\n", "")


def test_there_is_nothing_to_restore_at_first(tmp_path: Path):
    assert Checkpoints(tmp_path / "checkpoints").restore(make_state()) is None


def test_the_parameters_are_restored_alone_from_a_run_its_checkpoints_or_one_of_them(tmp_path: Path, monkeypatch):
    checked: list[Path] = []
    checksum = icrl.runs.checkpoints._checksum
    monkeypatch.setattr("icrl.runs.checkpoints._checksum", lambda path: checked.append(path) or checksum(path))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for update in (1, 2):
        checkpoints.save(update, make_state(update), metadata={"env_steps": 100 * update})
    template = jax.eval_shape(make_state).params
    for path, update in [
        (tmp_path, 2),
        (tmp_path / "checkpoints", 2),
        (tmp_path / "checkpoints" / "1", 1),
        (shutil.copytree(tmp_path / "checkpoints" / "1", tmp_path / "published"), 1),
    ]:
        checked.clear()
        checkpoint = Checkpoint.newest(path)
        assert (checkpoint.description["update"], checkpoint.description["best_score"]) == (update, None)
        assert checkpoint.metadata == {"env_steps": 100 * update}
        assert same_bits(checkpoint.params(template), make_state(update).params)
        assert len(checked) == len(set(checked)) == 2  # every file is verified once
        assert Checkpoint.newest(checkpoint.folder) == checkpoint


def test_a_folder_without_checkpoints_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(UserError, match="got no checkpoint"):
        Checkpoint.newest(tmp_path).params(make_state().params)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            make_state(width=6),
            r"params\.encoder\.kernel: got float32\[3,5\]; expected float32\[3,6\]",
        ),
        (make_state()._replace(count=jnp.uint32(0)), r"count: got int32\[\]; expected uint32\[\]"),
        (make_state()._replace(moments={}), r"moments\.flags: got bool\[2\]; expected nothing"),
        (
            make_state()._replace(agent={"params": {**make_state().params, "decoder": jnp.zeros(2)}}),
            r"params\.decoder: got nothing; expected float32\[2\]",
        ),
    ],
    ids=["shape", "dtype", "leaf too many", "leaf missing"],
)
def test_a_state_that_does_not_fit_is_refused_leaf_by_leaf(tmp_path: Path, template: State, message: str):
    Checkpoints(tmp_path).save(1, make_state())
    with pytest.raises(UserError, match=message):
        Checkpoints(tmp_path).restore(template)


def test_parameters_that_do_not_fit_are_refused(tmp_path: Path):
    Checkpoints(tmp_path).save(1, make_state())
    with pytest.raises(UserError, match=r"params\.encoder\.bias: got float32\[5\]; expected float32\[6\]"):
        Checkpoint.newest(tmp_path).params(make_state(width=6).params)
    with pytest.raises(UserError, match=r"params\.s5\.0: got float32\[3\]; expected nothing"):
        Checkpoint.newest(tmp_path).params({"encoder": make_state().params["encoder"]})


# Which are kept


def test_the_newest_two_and_the_best_are_kept(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    for update, score in [(1, -0.5), (2, -0.1), (3, None), (4, float("nan")), (5, -1.0)]:
        checkpoints.save(update, make_state(update), score)
    assert names(tmp_path) == {"2", "4", "5"}
    assert Checkpoint.newest(tmp_path).description["update"] == 5


def test_the_best_is_remembered_after_a_restart(tmp_path: Path):
    for update, score in [(1, 0.9), (2, 0.1), (3, 0.1), (4, 0.1)]:
        Checkpoints(tmp_path, keep=1).save(update, make_state(update), score)
    assert names(tmp_path) == {"1", "4"}


def test_of_equal_scores_or_none_the_later_is_the_best(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path / "none")
    for update in (1, 2, 3):
        checkpoints.save(update, make_state(update))
    assert names(checkpoints.path) == {"2", "3"}


def test_saving_an_update_again_replaces_it(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_state(1), 0.5)
    checkpoints.save(1, make_state(2), 0.7)
    assert names(tmp_path) == {"1"}
    assert same_bits(checkpoints.restore(make_state())[1], make_state(2))
    assert Checkpoint.newest(tmp_path).description["best_score"] == 0.7


# Damage


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "deleted": Path.unlink,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "one bit flipped": flip_a_bit,
}


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole")
    for update in (1, 2):
        Checkpoints(path).save(update, make_state(update), best_score=update)
    return path


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_any_damaged_file_of_the_newest_makes_the_one_before_be_taken(
    two_checkpoints: Path, tmp_path: Path, damage, caplog, capfd
):
    newest = two_checkpoints / "2"
    files = [file.relative_to(newest) for file in newest.rglob("*") if file.is_file()]
    assert {file.name for file in files} == {"arrays.zip", "metadata.json", "checksums.json"}
    for number, file in enumerate(files):
        path = shutil.copytree(two_checkpoints, tmp_path / str(number))
        damage(path / "2" / file)
        caplog.clear()
        update, state = Checkpoints(path).restore(make_state())
        assert update == 1
        assert same_bits(state, make_state(1))
        assert f"{path / '2'}: the checkpoint cannot be read: " in caplog.text
        assert Checkpoint.newest(path).description["update"] == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("left", ["nothing", "the arrays", "the descriptions"])
def test_a_half_deleted_newest_makes_the_one_before_be_taken(two_checkpoints: Path, tmp_path: Path, left):
    path = shutil.copytree(two_checkpoints, tmp_path / "copy")
    if left != "the arrays":
        (path / "2" / "arrays.zip").unlink()
    if left != "the descriptions":
        (path / "2" / "metadata.json").unlink()
        (path / "2" / "checksums.json").unlink()
    assert Checkpoints(path).restore(make_state())[0] == 1


def test_training_goes_on_from_a_fallback_and_clears_the_damage_away(two_checkpoints: Path, tmp_path: Path):
    path = shutil.copytree(two_checkpoints, tmp_path / "copy")
    flip_a_bit(path / "2" / "arrays.zip")
    checkpoints = Checkpoints(path)
    checkpoints.save(2, make_state(22))
    assert same_bits(checkpoints.restore(make_state())[1], make_state(22))
    flip_a_bit(path / "2" / "checksums.json")
    checkpoints.save(1, make_state(11))
    assert checkpoints.updates() == [1]


def test_when_all_are_damaged_the_run_is_not_silently_started_anew(two_checkpoints: Path, tmp_path: Path):
    path = shutil.copytree(two_checkpoints, tmp_path / "copy")
    for update in (1, 2):
        (path / str(update) / "checksums.json").unlink()
    with pytest.raises(MachineError, match=r"only damaged checkpoints.*start anew in another folder"):
        Checkpoints(path).restore(make_state())
    with pytest.raises(MachineError, match=rf"{path}/2: got only damaged"):
        Checkpoint.newest(path / "2").params(make_state().params)


# The disk

WITHOUT_ROOM_FOR_ARRAYS = 50_000


def test_a_full_disk_says_what_was_written_and_what_to_do_and_harms_no_checkpoint(tmp_path: Path, full_disk, capfd):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_state(1))
    with full_disk(WITHOUT_ROOM_FOR_ARRAYS), pytest.raises(MachineError) as error:
        checkpoints.save(2, make_state(2, width=20_000))
    assert f"{tmp_path / '2'}: could not be written" in str(error.value)
    assert "free some space and run the same command again" in str(error.value)
    assert names(tmp_path) == {"1"}
    assert same_bits(checkpoints.restore(make_state())[1], make_state(1))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", [lambda array: array.tobytes()[:-1], lambda array: bytes(array.nbytes)])
def test_what_cannot_be_read_back_is_no_checkpoint_and_costs_none(tmp_path: Path, damage, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, make_state(1))

    def pack_badly(path: Path, arrays: dict[str, np.ndarray]) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for name, array in arrays.items():
                file.writestr(name, damage(array))

    monkeypatch.setattr("icrl.runs.checkpoints._pack", pack_badly)
    with pytest.raises(MachineError, match=r"/2: could not be written \(it (cannot be read|reads) back"):
        checkpoints.save(2, make_state(2))
    assert names(tmp_path) == {"1"}
    assert same_bits(checkpoints.restore(make_state())[1], make_state(1))


ANY_NAME = [*"*?~ ", "a [b]", "-o", "{x}", "50%", "%20", "#1", "ключ 漢字 é", "a\\b", "a:b", "'\"", "$HOME", "a\nb"]


def test_a_run_may_lie_in_a_folder_of_any_name(tmp_path: Path, monkeypatch):
    for name in ANY_NAME:
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for path in (Path("checkpoints"), tmp_path / name / "run" / name):
            checkpoints = Checkpoints(path)
            for update in (1, 2, 3):
                checkpoints.save(update, make_state(update))
            assert names(path) == {"2", "3"}
            assert same_bits(checkpoints.restore(make_state())[1], make_state(3)), path


def test_saving_and_restoring_say_nothing(tmp_path: Path, capfd, caplog):
    caplog.set_level(logging.INFO)
    checkpoints = Checkpoints(tmp_path)
    for update in (1, 2, 3):
        checkpoints.save(update, make_state(update))
    checkpoints.restore(make_state())
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""
