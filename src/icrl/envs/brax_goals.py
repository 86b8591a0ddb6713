"""What the tasks of `icrl.envs.brax_suite` reward, for people: words, and what a drawing can mark.

A task without an entry is drawn without a mark.
"""

from icrl.envs.picture import Goal

UP = 0.0  # rad, of a pole
MIDDLE = 0.0  # m, of the rail
DRAWN = None

GOALS = {
    "arm_find": Goal("the fingertip at one place"),
    "arm_turn": Goal("spinning the arm one way", turn=0),
    "cartpole_balance": Goal("holding the pole up", {1: UP}),
    "cartpole_balance_heavy": Goal("holding a heavy pole up", {1: UP}),
    "cartpole_centre": Goal("the cart in the middle of its rail", {0: MIDDLE}),
    "cartpole_place": Goal("the cart at one place of its rail", {0: DRAWN}),
    "cartpole_side": Goal("the cart 0.5 m to the right of the middle", {0: 0.5}),
    "cartpole_spin": Goal("spinning the pole this way", turn=1),
    "cartpole_spin_heavy": Goal("spinning a heavy pole this way", turn=1),
    "cartpole_swingup": Goal("the pole up, in the middle of the rail", {0: MIDDLE, 1: UP}),
    "cartpole_turn": Goal("spinning the pole one way", turn=1),
    "double_pendulum_centre": Goal("the cart in the middle of its rail", {0: MIDDLE}),
    "double_pendulum_place": Goal("the cart at one place of its rail", {0: DRAWN}),
    "double_pendulum_swingup": Goal("both poles up", {1: UP, 2: UP}),
    "pendulum_cruise": Goal("turning the pendulum one way, neither slower nor faster than one speed", turn=0),
    "pendulum_hold": Goal("holding the pendulum at one angle", {0: DRAWN}),
    "pendulum_turn": Goal("spinning the pendulum one way", turn=0),
    "point_circle": Goal("circling around the middle one way"),
    "point_find": Goal("the ball at one place"),
    "point_run": Goal("moving the ball one way"),
    "reacher_cruise": Goal("turning the arm this way, neither slower nor faster than 2 rad/s", turn=0),
    "reacher_easy": Goal("the fingertip on the target"),
    "reacher_find": Goal("the fingertip at one place"),
    "reacher_fold": Goal("folding the elbow this way", {1: 2.0}),
    "reacher_hard": Goal("the fingertip on the target, closely"),
    "reacher_pose": Goal("bending the elbow to one angle", {1: DRAWN}),
    "reacher_spin": Goal("spinning the arm this way", turn=0),
    "reacher_turn": Goal("spinning the arm one way", turn=0),
}
GOALS |= {f"{task}_beyond": GOALS[task] for task in ("cartpole_place", "pendulum_turn", "point_find", "reacher_find")}
