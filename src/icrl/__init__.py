"""In-context reinforcement learning with structured state space models (arXiv:2303.03982)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icrl.agent import Agent, load

__version__ = "0.1.0"
__all__ = ["Agent", "load"]


def __getattr__(name: str) -> Any:
    """Imports what acts when it is first asked for, since that takes JAX: the command line answers without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from icrl import agent

    return getattr(agent, name)
