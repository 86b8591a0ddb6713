"""Compilation for tests, whose programs are large and run once: most of their time goes into optimising them."""

from functools import partial

import jax

jit = partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)
"""`jax.jit` that optimises little. Numbers differ by rounding only."""
