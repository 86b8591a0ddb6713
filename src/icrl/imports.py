"""Importing what is heavy, and chatty."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Keeps off the screen what packages say about themselves on import, and what Brax warns of later.

    MuJoCo prints that the optional package `warp` is missing to stdout, which belongs to the results.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA: what is fatal only; it logs a slow compile as an error
    warnings.filterwarnings("ignore", module=r"(brax|mujoco|jaxopt|flax|orbax)(\.|$)")
    with redirect_stdout(io.StringIO()):
        yield
