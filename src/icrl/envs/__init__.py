"""Environments: tasks, trials and episodes, projections, batches of rows."""
