"""Learners: pure functions from one learner state to the next."""
