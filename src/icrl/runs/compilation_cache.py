"""JAX's persistent compilation cache, so that a second start does not compile again."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

import jax

logger = logging.getLogger(__name__)


def enable(path: Path | None = None) -> None:
    """Keeps compiled programs in a folder: `path`, else $JAX_COMPILATION_CACHE_DIR, else the user's cache.

    A folder that cannot be written is warned of, and programs are then compiled anew in each process.
    """
    told = path or os.environ.get("JAX_COMPILATION_CACHE_DIR")
    folder = Path(told or "the user's cache")
    try:
        folder = Path(told or _users_cache() / "icrl" / "xla")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError) as error:  # a user without a home is Python's RuntimeError
        logger.warning("%s: compiled programs cannot be kept there (%s)", folder, getattr(error, "strerror", error))
        jax.config.update("jax_enable_compilation_cache", False)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _users_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
