"""In-context reinforcement learning with structured state space models (arXiv:2303.03982)."""

__version__ = "0.1.0"
