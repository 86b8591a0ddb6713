"""A Slurm of one node on loopback: munge, the controller and the node's daemon, in a folder of their own."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")

CREDENTIAL_SECONDS = 10
"""So long may a job take to start; one that is queued again waits as long, for its old credential to end."""

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={credential_seconds}
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class CannotStart(Exception):
    """Why there is no Slurm here."""


@contextmanager
def running_slurm(folder: Path) -> Iterator[Path]:
    """Starts it and gives its slurm.conf, once the node takes jobs; ends it and all its jobs.

    Raises:
        CannotStart: a program is missing, or does not come up.
    """
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    if missing := [name for name in PROGRAMS if shutil.which(name, path=path) is None]:
        raise CannotStart(f"not installed: {', '.join(missing)} (Debian packages slurm-wlm and munge)")
    key, configuration = folder / "munge.key", folder / "slurm.conf"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            credential_seconds=CREDENTIAL_SECONDS,
            controller_port=free_port(),
            node_port=free_port(),
        )
    )
    files = {"key-file": key} | {f"{name}-file": folder / f"munge.{name}" for name in ("pid", "log", "seed")}
    options = [f"--{name}={file}" for name, file in files.items()]
    environment = {**os.environ, "PATH": path, "SLURM_CONF": str(configuration)}
    with ExitStack() as at_the_end:

        def daemon(*command: object) -> None:
            output = at_the_end.enter_context((folder / f"{command[0]}.out").open("wb"))
            words = [str(word) for word in command]
            process = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
            at_the_end.callback(process.wait)
            at_the_end.callback(process.terminate)

        daemon("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *options)
        wait_until((folder / "munge.socket").exists, folder)
        daemon("slurmctld", "-D", "-f", configuration)
        daemon("slurmd", "-D", "-f", configuration)
        wait_until(lambda: asked("sinfo", "--noheader", "--format=%T", env=environment) == "idle", folder)
        at_the_end.callback(lambda: wait_until(lambda: not asked("squeue", "--noheader", env=environment), folder))
        at_the_end.callback(asked, "scancel", "--me", env=environment)
        yield configuration


def asked(*command: str, env: dict[str, str] | None = None) -> str | None:
    """What one of Slurm's programs answers; None if it fails."""
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    return None if done.returncode else done.stdout.strip()


def wait_until(holds: Callable[[], bool], folder: Path, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            tails = [f"{path.name}: {path.read_text()[-300:]}" for path in sorted(folder.glob("*.out"))]
            raise CannotStart(f"no answer after {seconds:.0f} s; {'; '.join(tails)}")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return any_socket.getsockname()[1]
