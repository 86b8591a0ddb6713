"""What every test shares: the CPU, no network, checked signatures, one compilation cache for all processes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.signatures import check_the_core

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "icrl" / "tests"

# Whoever starts the tests in the background may have them ignored, and so would icrl.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("PYTHONPYCACHEPREFIX", str(CACHE / "bytecode"))
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes import the same modules
os.environ.pop("PYTHONUNBUFFERED", None)  # streams that hold nothing back hide what users meet
os.environ["WANDB_MODE"] = "offline"
os.environ.pop("WANDB_API_KEY", None)

check_the_core()

# On a machine that others share, slow says nothing of the code.
settings.register_profile("icrl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("icrl")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses every connection that would leave this machine."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise ConnectionRefusedError(f"tests use no network; got a connection to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)


@pytest.fixture
def run_icrl(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `icrl` with the given arguments as a process of its own, below the test's temporary folder."""

    def run(
        *arguments: object, timeout: float = 300, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "icrl", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
