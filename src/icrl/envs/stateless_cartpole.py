"""CartPole for trials in a row under projections (paper, figure 3): POPGym's easy StatelessCartPole at unit size.

Its own observation would not do: the angle (0.2 rad at most) would drown in a mixture with the position (2.4 m).
"""

from collections.abc import Sequence

from icrl.envs.popgym.cartpole import StatelessCartPole

TASKS = {"stateless_cartpole": StatelessCartPole(tasks=("stateless_cartpole",), num_steps=200, unit_size=True)}


def environments(tasks: Sequence[str]) -> tuple[StatelessCartPole, ...]:
    """The environments of these names."""
    return tuple(TASKS[name] for name in tasks)
