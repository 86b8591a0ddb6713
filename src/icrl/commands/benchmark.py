"""`icrl benchmark`: what each sequence model costs by length, what training costs, what S5's scan costs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import jax

from icrl.commands.benchmark_lengths import benchmark_lengths
from icrl.commands.benchmark_scan import benchmark_scan
from icrl.commands.benchmark_throughput import benchmark_throughput
from icrl.errors import UserError
from icrl.runs import numerics
from icrl.timing.spec import Match


def benchmark(
    spec: str | None = None,
    *,
    seq_len: str | None = None,
    throughput: bool = False,
    scan: bool = False,
    models: Sequence[str] | None = None,
    match: Match | None = None,
    scale: str | None = None,
    out: Path | None = None,
) -> None:
    """Runs the sections asked for; each writes its record below results/benchmark, or to ``out``, and prints tables.

    Raises:
        UserError: nothing was asked for, or an option has no effect on what was.
    """
    if not (seq_len or throughput or scan):
        raise UserError("got nothing to measure; expected --seq-len sweep, --throughput or --scan")
    if models is not None and not (seq_len or throughput):
        raise UserError("--models: got a value; expected none, since --scan times s5")
    if match is not None and not seq_len:
        raise UserError("--match: got a value; expected none without --seq-len")
    numerics.pin()
    with _without_compilation_cache():
        if scan:
            benchmark_scan(spec, scale=scale, out=out)
        if throughput:
            benchmark_throughput(spec, models=models, scale=scale, out=out)
        if seq_len:
            benchmark_lengths(spec, seq_len=seq_len, models=models, match=match, scale=scale, out=out)


@contextmanager
def _without_compilation_cache() -> Iterator[None]:
    """Compiles everything anew, so that its time is what it is for a new program."""
    before = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
