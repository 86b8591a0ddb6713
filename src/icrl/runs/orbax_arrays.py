"""The arrays of older checkpoints, which Orbax wrote."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp


def read(folder: Path, wanted: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of these names, one of the shape and dtype of its leaf where it has no elements.

    Raises:
        Exception: the checkpoint is damaged; Orbax raises what it likes.
    """
    names = [name for name, leaf in wanted.items() if math.prod(leaf.shape)]  # Orbax keeps no others
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with ocp.Checkpointer(
            ocp.PyTreeCheckpointHandler(multiprocessing_options=alone), multiprocessing_options=alone
        ) as orbax:
            arrays = orbax.restore(
                folder.absolute(),
                ocp.args.PyTreeRestore(
                    item=dict.fromkeys(names, 0),
                    restore_args=dict.fromkeys(names, ocp.RestoreArgs(restore_type=np.ndarray)),
                    partial_restore=True,
                ),
            )
    finally:
        log.setLevel(level)
    return {name: arrays.get(name, np.zeros(leaf.shape, leaf.dtype)) for name, leaf in wanted.items()}
