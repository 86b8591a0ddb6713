"""Runs as jobs of a cluster's queue: Slurm's, through submitit."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from icrl.errors import UserError
from icrl.launch.account import Account, reason
from icrl.launch.job import WARNING_SECONDS, Training
from icrl.launch.process import POLL_SECONDS, icrl
from icrl.launch.runs import Run
from icrl.runs.disk import write_atomically
from icrl.runs.interruption import Interruption
from icrl.spec.experiment import ResourcesSpec

FOLDER = Path("results", "runs", "queue")
"""Where submitit keeps what it hands to the queue. All nodes must see it, and the run directories."""

JOB = ".job"
"""The file of a run directory that holds the id of the job that trains it."""

RESULT_SECONDS = 10.0
"""So long may a job have left the queue before its result is seen here: a shared disk can be late."""

MAX_REQUEUES = 100
"""Times that a run may reach its limit of hours."""


def require_submitit() -> None:
    """Raises UserError where the optional package is not installed."""
    if find_spec("submitit") is None:
        raise UserError(
            "--launcher: got 'slurm', which needs the package submitit; expected it installed; "
            "run: pip install 'icrl[cluster]'"
        )


def run_in_queue(runs: Sequence[Run], account: Account, cluster: str = "slurm") -> None:
    """Queues them as one array of jobs, or one for each set of resources they want, and waits for all of them.

    A run that is in the queue already is waited for, not queued again.

    Raises:
        UserError: submitit or Slurm is not installed, the queue refuses the jobs, or it does not say which it has.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the jobs stay in the queue.
    """
    require_submitit()
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise UserError("--launcher: got 'slurm', but there is no program sbatch; expected a machine that queues jobs")
    submitit: Any = import_module("submitit")
    logging.getLogger("submitit").setLevel(logging.ERROR)  # it warns wherever Slurm keeps no accounts
    with Interruption() as stop:  # from the start: what sbatch has taken is noted before anything else ends this
        jobs = dict(_still_queued(runs, submitit))
        for run in jobs:
            account.started(run, f"is in the queue as job {jobs[run].job_id}")
        for run, job in _submit([run for run in runs if run not in jobs], submitit, cluster):
            jobs[run] = job
            account.started(run, f"queued as job {job.job_id}")
        _wait(jobs, account, stop)


def _still_queued(runs: Sequence[Run], submitit: Any) -> Iterator[tuple[Run, Any]]:
    noted = {run: file.read_text(encoding="utf-8") for run in runs if (file := run.directory / JOB).exists()}
    if not noted:
        return
    if (queued := _queued_ids()) is None:
        raise UserError(
            f"squeue: got no answer, and {len(noted)} of these runs were queued before; "
            "expected to learn whether they still are; run the same command once `squeue --me` works"
        )
    for run, job_id in noted.items():
        if job_id in queued:
            yield run, submitit.SlurmJob(folder=FOLDER.absolute(), job_id=job_id)


def _submit(runs: Sequence[Run], submitit: Any, cluster: str) -> Iterator[tuple[Run, Any]]:
    def resources_of(run: Run) -> ResourcesSpec:
        return run.experiment.resources

    def order(run: Run) -> str:
        return repr(resources_of(run))

    for _, same in groupby(sorted(runs, key=order), key=order):
        array = list(same)
        wanted = resources_of(array[0])
        executor = _executor(wanted, submitit, cluster)
        environment = {} if wanted.gpus else {"JAX_PLATFORMS": "cpu"}
        commands = [icrl(*run.arguments, "--devices", str(run.devices(wanted.gpus or wanted.cpus))) for run in array]
        try:
            jobs = executor.map_array(Training(), commands, [run.log for run in array], [environment for _ in array])
        except submitit.core.utils.FailedJobError as error:
            raise UserError(
                f"sbatch refused the jobs: {' '.join(str(error).split())}\n"
                "what a cluster asks for is taken from SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_QOS; "
                "what a run asks for from resources: in its spec"
            ) from error
        for run, job in zip(array, jobs, strict=True):
            run.directory.mkdir(parents=True, exist_ok=True)
            write_atomically(run.directory / JOB, job.job_id)
            yield run, job


def _executor(resources: ResourcesSpec, submitit: Any, cluster: str) -> Any:
    executor = submitit.AutoExecutor(folder=FOLDER, cluster=cluster, slurm_max_num_timeout=MAX_REQUEUES)
    executor.update_parameters(
        name="icrl",
        cpus_per_task=resources.cpus,
        mem_gb=resources.memory_gb,
        timeout_min=max(1, round(60 * resources.hours)),
        slurm_signal_delay_s=WARNING_SECONDS,
        slurm_srun_args=[f"--cpus-per-task={resources.cpus}"],  # which srun no longer takes from sbatch
        **({"gpus_per_node": resources.gpus} if resources.gpus else {}),
    )
    return executor


def _wait(jobs: Mapping[Run, Any], account: Account, stop: Interruption) -> None:
    """Accounts for every job as it leaves the queue."""
    waiting = dict(jobs)
    left_since: dict[Run, float] = {}
    seconds, asked = 1.0, 0.0
    while waiting:
        if stop.requested:
            ids = sorted({job.job_id.partition("_")[0] for job in waiting.values()})
            account.say(
                f"{len(waiting)} runs stay in the queue; the same command waits for them again, "
                f"`scancel {' '.join(ids)}` ends them"
            )
            raise KeyboardInterrupt
        time.sleep(POLL_SECONDS)
        if time.monotonic() - asked < seconds:
            continue
        asked, seconds = time.monotonic(), min(1.5 * seconds, 30.0)
        queued = _queued_ids()
        for run, job in list(waiting.items()):
            if not job.done() if queued is None else job.job_id in queued:
                left_since.pop(run, None)
            elif _has_result(job) or run.finished() or asked - left_since.setdefault(run, asked) >= RESULT_SECONDS:
                del waiting[run]
                account.ended(run, _outcome(run, job))


def _has_result(job: Any) -> bool:
    return job.paths.result_pickle.exists()


def _outcome(run: Run, job: Any) -> str | None:
    """Why a job that left the queue failed; None if it did not."""
    if _has_result(job) and (code := _exit_code(job)) is not None:
        return reason(code)
    if run.finished():
        return None
    return f"job {job.job_id} left the queue unfinished (state {job.state}); submitit's log {job.paths.stderr}"


def _exit_code(job: Any) -> int | None:
    return None if job.exception() else job.result()


def _queued_ids() -> set[str] | None:
    """The ids of the user's jobs that wait or run, array tasks one by one; None where Slurm does not answer."""
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(done.stdout.split())
