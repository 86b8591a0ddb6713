"""Learners: pure functions from one learner state to the next. To add one: a file, and a line in `LearnerSpec`."""

from icrl.learners.a2c import A2CSpec
from icrl.learners.muesli import MuesliSpec
from icrl.learners.ppo import PPOSpec

LearnerSpec = PPOSpec | A2CSpec | MuesliSpec
