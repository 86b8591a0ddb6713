"""`icrl reproduce`: every model of every experiment, trained, recorded and reported."""

import subprocess
from collections.abc import Sequence
from typing import Literal

from icrl.commands.benchmark_record import BENCHMARKS_FOLDER
from icrl.commands.benchmark_record import DEFAULT_SPEC as BENCHMARK
from icrl.commands.plan import Chore, show_plan
from icrl.errors import IcrlError, MachineError
from icrl.launch.account import Account, Failure, reason
from icrl.launch.cluster import require_submitit, run_in_queue
from icrl.launch.local import Capacity, run_here
from icrl.launch.machine import Machine
from icrl.launch.process import icrl
from icrl.launch.runs import Run, runs_of
from icrl.records import recorded_references
from icrl.report.benchmark_tables import BENCHMARKS
from icrl.spec.experiment_file import ExperimentFile
from icrl.spec.shipped import shipped_specs

TIMINGS = {
    ("benchmark", "--seq-len", "sweep", "--throughput", "--scan"): [f"{name}.json" for name in BENCHMARKS],
    ("benchmark", "meta_brax", "--throughput", "--models", "s5,s5_muesli,lstm,lstm_muesli"): [
        "meta_brax/throughput.json"
    ],
}
"""What is timed, beside what is trained: command, and its records below results/benchmark."""

Launcher = Literal["local", "slurm"]


def reproduce(
    specs: Sequence[str] = (),
    *,
    scale: str | None = None,
    launcher: Launcher = "local",
    jobs: int | None = None,
    dry_run: bool = False,
) -> None:
    """Trains and records what the specs record and is not recorded yet, with references and benchmark; then reports.

    Args:
        specs: paths or names; by default all shipped ones, and the benchmark unless the scale is smoke.
        scale: one of the specs' scales; by default each one's own.
        launcher: this machine, or a cluster's queue.
        jobs: runs at once on this machine; by default as many as fit.
        dry_run: only print what there is to do, and how long it takes by the records.

    Raises:
        UserError: the cluster's queue cannot be used.
        MachineError: some of it failed, each named with its reason; the rest is done.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same command goes on from there.
    """
    if launcher == "slurm":
        require_submitit()
    runs, references, failures = _described(specs or [name for name in shipped_specs() if name != BENCHMARK], scale)
    timings = [
        Chore(arguments, is_done=all((BENCHMARKS_FOLDER / record).exists() for record in records))
        for arguments, records in TIMINGS.items()
    ]
    afterwards = [] if specs or scale == "smoke" else timings
    if dry_run:
        show_plan(runs, [*references, *afterwards], jobs)
    else:
        failures += [failure for chore in references for failure in _attempt(chore)]
        failures += _train(runs, launcher, jobs)
        failures += [failure for chore in [*afterwards, Chore(("report",))] for failure in _attempt(chore)]
    if failures:
        raise MachineError("\n".join(["failed:", *map(str, failures)]))


def _described(specs: Sequence[str], scale: str | None) -> tuple[list[Run], list[Chore], list[Failure]]:
    """The runs and references of all specs, and the specs that describe none."""
    runs, references, failures = list[Run](), list[Chore](), list[Failure]()
    for spec in specs:
        try:
            runs += runs_of(spec, scale)
            file = ExperimentFile(spec, scale)
            if file.record().references:
                environment = file.experiment().environment
                found = recorded_references(
                    file.experiment().name, environment.longest_trial, environment.action_repeat
                )
                references.append(Chore(("references", spec, "--scale", file.scale), bool(found)))
        except IcrlError as error:
            failures.append(Failure(spec, str(error)))
    return runs, references, failures


def _train(runs: Sequence[Run], launcher: Launcher, jobs: int | None) -> list[Failure]:
    """Trains and records the runs that are not recorded; what failed."""
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
    known = {failure.what for failure in account.failures}
    silent = [Failure(run.command, "left no result") for run in unrecorded if run.command not in known]
    return [*account.failures, *silent]


def _attempt(chore: Chore) -> list[Failure]:
    """Does what is not done yet, to its end; the failure, if it is one.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    code = 0 if chore.is_done else subprocess.run(icrl(*chore.arguments)).returncode
    if code == 130:
        raise KeyboardInterrupt
    why = reason(code)
    return [Failure(chore.command, why)] if why else []
