"""Runs on this machine, as many at once as its cores and memory allow."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from icrl.launch.account import Account, reason
from icrl.launch.machine import Machine
from icrl.launch.process import POLL_SECONDS, icrl, start
from icrl.launch.runs import Run
from icrl.runs.interruption import Interruption
from icrl.spec.experiment import ResourcesSpec


@dataclass(frozen=True)
class Capacity:
    """How many runs fit at once: at most `jobs`, and together no more than the machine has, but always one."""

    machine: Machine
    jobs: int | None = None

    def has_room(self, wanted: ResourcesSpec, taken: Sequence[ResourcesSpec]) -> bool:
        """Whether a run that wants this fits beside those that have taken that."""
        if not taken:
            return True
        if self.jobs is not None:
            return len(taken) < self.jobs
        if self.machine.has_accelerator:  # which a run takes whole
            return False
        together = [wanted, *taken]
        fits = sum(one.memory_gb for one in together) <= self.machine.memory_gb
        return fits and sum(one.cpus for one in together) <= self.machine.cores


def run_here(runs: Sequence[Run], account: Account, capacity: Capacity) -> None:
    """Runs them all, in order as far as they fit; one that fails does not stop the rest.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM, after every run wrote a checkpoint and ended.
    """
    waiting, running = list(runs), dict[Run, subprocess.Popen[bytes]]()
    with Interruption() as stop:
        try:
            while (waiting or running) and not stop.requested:
                for run in list(waiting):
                    if capacity.has_room(run.experiment.resources, [one.experiment.resources for one in running]):
                        waiting.remove(run)
                        _start(run, running, account, capacity.machine)
                time.sleep(POLL_SECONDS)
                _collect(running, account)
            if stop.requested:
                account.say(f"stopping {len(running)} runs; each writes a checkpoint first")
                for process in running.values():
                    process.terminate()
                for process in running.values():
                    process.wait()
                raise KeyboardInterrupt
        finally:
            for process in running.values():
                process.kill()


def _start(run: Run, running: dict[Run, subprocess.Popen[bytes]], account: Account, machine: Machine) -> None:
    cores = min(run.experiment.resources.cpus, machine.cores)
    devices = "all" if machine.has_accelerator else run.devices(cores)
    try:
        running[run] = start(icrl(*run.arguments, "--devices", str(devices)), run.log)
    except OSError as error:
        account.ended(run, str(error))
    else:
        account.started(run)


def _collect(running: dict[Run, subprocess.Popen[bytes]], account: Account) -> None:
    for run, process in list(running.items()):
        if (code := process.poll()) is not None:
            del running[run]
            account.ended(run, reason(code))
