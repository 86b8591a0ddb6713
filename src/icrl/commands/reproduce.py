"""`icrl reproduce`: every model of every experiment, trained, recorded and reported."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from icrl.commands.benchmark_record import DEFAULT_SPEC as BENCHMARK
from icrl.errors import IcrlError, MachineError
from icrl.launch.account import Account, Failure, reason
from icrl.launch.cluster import require_submitit, run_in_queue
from icrl.launch.local import Capacity, run_here
from icrl.launch.machine import Machine
from icrl.launch.process import icrl
from icrl.launch.runs import Run, runs_of
from icrl.report.benchmark_tables import BENCHMARKS
from icrl.spec.shipped import shipped_specs

BENCHMARK_RECORDS = [Path("results", "benchmark", f"{name}.json") for name in BENCHMARKS]

Launcher = Literal["local", "slurm"]


def reproduce(
    specs: Sequence[str] = (), *, scale: str | None = None, launcher: Launcher = "local", jobs: int | None = None
) -> None:
    """Trains what is not recorded yet, records it, times the benchmark unless it is smoke, and reports.

    Args:
        specs: paths or names; by default all shipped ones.
        scale: one of the specs' scales; by default each one's own.
        launcher: this machine, or a cluster's queue.
        jobs: runs at once on this machine; by default as many as fit.

    Raises:
        UserError: the cluster's queue cannot be used.
        MachineError: some of it failed, each named with its reason; the rest is done.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same command goes on from there.
    """
    if launcher == "slurm":
        require_submitit()
    runs, failures = _runs(specs or [name for name in shipped_specs() if name != BENCHMARK], scale)
    missing = [run for run in runs if not run.record()]
    account = Account(len(missing))
    account.say(f"{len(runs)} runs, {len(runs) - len(missing)} of them recorded already")
    try:
        if launcher == "slurm":
            run_in_queue(missing, account)
        else:
            run_here(missing, account, Capacity(Machine.here(), jobs))
    finally:
        unrecorded = [run for run in missing if not run.record()]
    failures += account.failures
    known = {failure.what for failure in failures}
    failures += [Failure(run.command, "left no result") for run in unrecorded if run.command not in known]
    if not specs and scale != "smoke" and not all(record.exists() for record in BENCHMARK_RECORDS):
        failures += _attempt("benchmark", "--seq-len", "sweep", "--throughput", "--scan")
    failures += _attempt("report")
    if failures:
        raise MachineError("\n".join(["failed:", *map(str, failures)]))


def _runs(specs: Sequence[str], scale: str | None) -> tuple[list[Run], list[Failure]]:
    """The runs of all specs, and the specs that describe none."""
    runs, failures = list[Run](), list[Failure]()
    for spec in specs:
        try:
            runs += runs_of(spec, scale)
        except IcrlError as error:
            failures.append(Failure(spec, str(error)))
    return runs, failures


def _attempt(*arguments: str) -> list[Failure]:
    """Runs a verb to its end; the failure, if it is one.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    code = subprocess.run(icrl(*arguments)).returncode
    if code == 130:
        raise KeyboardInterrupt
    why = reason(code)
    return [Failure(f"icrl {' '.join(arguments)}", why)] if why else []
