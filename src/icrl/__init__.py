"""In-context reinforcement learning with structured state space models (arXiv:2303.03982)."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icrl.agent import Agent, load

__version__ = "1.0.0rc1"
__all__ = ["Agent", "load"]


def __getattr__(name: str) -> Any:
    """Imports what acts when it is first asked for, since that takes JAX: the command line answers without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with redirect_stdout(StringIO()):  # MuJoCo prints that an optional package is missing
        from icrl import agent

    return getattr(agent, name)
