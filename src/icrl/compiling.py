"""Compiling programs that run once."""

from collections.abc import Callable
from typing import Any

import jax

RUN_ONCE = {"xla_backend_optimization_level": 1, "xla_llvm_disable_expensive_passes": True}


def jit_for_one_run(function: Callable[..., Any], **options: Any) -> Any:
    """``jax.jit`` for a function whose compiling takes a CPU far longer than its one run.

    Compiling takes a third less, the run as long as before, and the numbers are equal (docs/decisions.md).
    """
    return jax.jit(function, compiler_options=RUN_ONCE if jax.default_backend() == "cpu" else None, **options)
