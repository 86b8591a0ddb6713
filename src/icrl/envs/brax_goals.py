"""What the tasks of `icrl.envs.brax_suite` reward, for people: words, and what a drawing can mark.

A task without an entry is drawn without a mark.
"""

from icrl.envs.picture import Goal

UP = 0.0  # rad, of a pole
MIDDLE = 0.0  # m, of the rail

GOALS = {
    "cartpole_balance": Goal("holding the pole up", {1: UP}),
    "cartpole_balance_heavy": Goal("holding a heavy pole up", {1: UP}),
    "cartpole_centre": Goal("the cart in the middle of its rail", {0: MIDDLE}),
    "cartpole_side": Goal("the cart 0.5 m to the right of the middle", {0: 0.5}),
    "cartpole_spin": Goal("spinning the pole this way", turn=1),
    "cartpole_spin_heavy": Goal("spinning a heavy pole this way", turn=1),
    "cartpole_swingup": Goal("the pole up, in the middle of the rail", {0: MIDDLE, 1: UP}),
    "double_pendulum_centre": Goal("the cart in the middle of its rail", {0: MIDDLE}),
    "double_pendulum_swingup": Goal("both poles up", {1: UP, 2: UP}),
    "reacher_cruise": Goal("turning the arm this way, neither slower nor faster than 2 rad/s", turn=0),
    "reacher_easy": Goal("the fingertip on the target"),
    "reacher_fold": Goal("folding the elbow this way", {1: 2.0}),
    "reacher_hard": Goal("the fingertip on the target, closely"),
    "reacher_spin": Goal("spinning the arm this way", turn=0),
}
