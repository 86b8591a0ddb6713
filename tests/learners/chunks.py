"""A training chunk of PPO on S5, compiled as `icrl train` compiles it; as a process of its own, for many devices.

Environments are counters seen through projections: all of a task set of meta_brax but the physics, so that compiling
takes seconds. Loops differ in length, which is how tests tell them apart.
"""

import sys

import jax
import numpy as np

from icrl.envs.multi import Environments
from icrl.envs.projection import ProjectionSpec
from icrl.envs.trial import Episodes
from icrl.learners.devices import SharedLearner, mesh_of
from icrl.learners.learner import LearnerState
from icrl.learners.ppo import PPOSpec
from icrl.models import S5Spec
from icrl.policy import PolicySpec
from tests.envs.counting import Counting

UPDATES, STEPS, EPOCHS, MINIBATCHES = 5, 7, 2, 3
"""Of a chunk, of a rollout, of an update, of an epoch."""
TASKS, TRIALS, ROWS_PER_TASK = 2, 2, 24
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options that shorten compiling, after XLA has laid the program out."""


def learner(num_devices: int, num_seeds: int) -> SharedLearner:
    """Two tasks of one environment, whose trials end at different steps."""
    projection = ProjectionSpec(kind="signed_permutation", observation_size=6, action_size=2)
    counting = projection.build(Counting(("endless", "ends_at_2"), terminates_at=(0, 2)), training=True)
    episodes = Episodes(counting, trial_steps=4, trials_per_episode=TRIALS, stagger=True)
    environments = Environments((episodes,), TASKS * ROWS_PER_TASK)
    model = S5Spec(width=8, num_layers=1, state_size=8, schedule="sequential")  # of all that any backend has
    policy = PolicySpec(encoder=(16,), heads=(16,)).build(model, environments.action_space)
    ppo = PPOSpec(rollout_steps=STEPS, num_epochs=EPOCHS, num_minibatches=MINIBATCHES, anneal_learning_rate=True)
    return SharedLearner(ppo.build(policy, environments, 100), mesh_of(jax.devices()[:num_devices], num_seeds))


def state(shared: SharedLearner, num_seeds: int) -> LearnerState:
    """The shapes of its state."""
    return jax.eval_shape(shared.init, jax.ShapeDtypeStruct((num_seeds, 2), np.uint32))


def compiled(num_devices: int, num_seeds: int) -> str:
    """The program of a chunk, in XLA's own words."""
    shared = learner(num_devices, num_seeds)
    program = shared.lower(UPDATES, state(shared, num_seeds)).compile(compiler_options=QUICKLY)
    return program.as_text() or ""


if __name__ == "__main__":
    print(compiled(*map(int, sys.argv[1:])))
