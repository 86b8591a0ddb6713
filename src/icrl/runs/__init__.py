"""Everything of a run that touches disk or network: its folder, its checkpoints, its trackers."""
