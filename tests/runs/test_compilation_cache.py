import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from icrl.runs import compilation_cache

COMPILE = """
import jax, jax.numpy as jnp
from icrl.runs import compilation_cache
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
compilation_cache.enable()
print(jax.jit(lambda x: x * 2 + 1)(jnp.arange(3)))
print(events.count("/jax/compilation_cache/cache_hits"), events.count("/jax/compilation_cache/cache_misses"))
"""


@pytest.fixture
def own_settings():
    """Gives JAX its settings back, as the tests before had them."""
    names = (
        "jax_compilation_cache_dir",
        "jax_enable_compilation_cache",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def compile_in_a_process(cache: Path) -> tuple[int, int]:
    environment = {name: value for name, value in os.environ.items() if "CACHE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        # XLA's own log is off, as in icrl: jax 0.10.0's calls programs from the cache compiled for another machine.
        env={**environment, "XDG_CACHE_HOME": str(cache), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    values, counts = done.stdout.splitlines()
    assert values == "[1 3 5]"
    hits, misses = map(int, counts.split())
    return hits, misses


def test_a_second_process_compiles_nothing_and_the_programs_lie_in_the_users_cache(tmp_path: Path):
    hits, misses = compile_in_a_process(tmp_path)
    assert hits == 0
    assert misses > 0
    assert len(list((tmp_path / "icrl" / "xla").iterdir())) == misses
    assert compile_in_a_process(tmp_path) == (misses, 0)


def test_a_folder_that_the_user_gave_jax_is_kept(tmp_path: Path, own_settings, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)


def test_a_user_without_a_home_costs_the_cache_alone(own_settings, monkeypatch, caplog):
    for name in ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["no such user"])
    compilation_cache.enable()
    assert "compiled programs cannot be kept there (Could not determine home directory" in caplog.text
    assert jax.jit(lambda x: x + 1)(jnp.int32(1)) == 2


def test_a_folder_that_cannot_be_written_is_warned_of_and_harms_nothing(tmp_path: Path, own_settings, caplog):
    (tmp_path / "file").write_text("")
    compilation_cache.enable(tmp_path / "file" / "xla")
    assert f"{tmp_path / 'file' / 'xla'}: compiled programs cannot be kept there" in caplog.text
    assert jax.jit(lambda x: x + 1)(jnp.int32(1)) == 2
