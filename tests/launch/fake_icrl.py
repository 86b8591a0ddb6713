"""Stands in for `icrl` as a process: notes each call and leaves the run directory that the verb would, at once.

Variables of the environment say what else happens, as `ACTION=text`, to every call whose arguments contain the text:

    FAIL      it ends with exit code 2
    MEET      it ends only once a second such call runs beside it
    ALONE     it ends with exit code 3 if another such call runs beside it
    WARN      the first time, it sends its parent the signal SIGNAL, and waits to be told to write a checkpoint
    HOLD      (several texts) the first time for each spec, it waits for a signal, or for the file `released`

RESOLVED is a folder with the spec of each run; CALLS a file that takes one line a call.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

ARGUMENTS = sys.argv[1:]
CALLS = Path(os.environ["CALLS"])


def applies(action: str) -> bool:
    text = os.environ.get(action)
    return text is not None and text in " ".join(ARGUMENTS)


KEPT = {"id": "0", "started": "2026-01-01T00:00:00+00:00", "seconds": 0, "num_resumes": 0}
"""What a manifest needs besides."""


def note(text: str) -> None:
    with CALLS.open("a") as file:
        file.write(f"{text}\n")


def option(name: str) -> str:
    return ARGUMENTS[ARGUMENTS.index(name) + 1]


def leave_run(status: str) -> None:
    """The run directory, in the place that its spec says."""
    (point,) = [word.partition("=")[2] for word in ARGUMENTS if word.startswith("--point=")] or [""]
    name = "-".join(filter(None, (Path(ARGUMENTS[1]).stem, option("--scale"), option("--model"), point)))
    resolved = Path(os.environ["RESOLVED"], name)
    run = Path(option("--out") if "--out" in ARGUMENTS else (resolved / "directory").read_text())
    run.mkdir(parents=True, exist_ok=True)
    shutil.copy(resolved / "spec.yaml", run)
    (run / "metrics.jsonl").write_text(f"trained {name}\n")
    if status == "done":
        shutil.copy(resolved / "evaluation.json", run)
    (run / "manifest.json").write_text(json.dumps({"layout": 1, "status": status, **KEPT}))


def interrupted(*_: object) -> None:
    leave_run("interrupted")
    note("checkpoint")
    sys.exit(130)


def wait_for(condition) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    sys.exit("what it waited for did not come")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupted)
    note(" ".join(ARGUMENTS))
    print("said by", *ARGUMENTS)
    if applies("FAIL"):
        sys.exit(2)
    if applies("MEET"):
        CALLS.with_name(f"here-{os.getpid()}").touch()
        wait_for(lambda: len([*CALLS.parent.glob("here-*")]) == 2)
    if applies("ALONE"):
        try:
            CALLS.with_name("alone").touch(exist_ok=False)
        except FileExistsError:
            sys.exit(3)
        time.sleep(0.2)
        CALLS.with_name("alone").unlink()
    if applies("WARN") and not (warned := CALLS.with_name("warned")).exists():
        warned.touch()
        os.kill(os.getppid(), getattr(signal, os.environ["SIGNAL"]))
        wait_for(lambda: False)
    if ARGUMENTS[1:2] and ARGUMENTS[1] in os.environ.get("HOLD", "").split():
        held = CALLS.with_name(f"held-{ARGUMENTS[1]}")
        if not held.exists():
            held.touch()
            sys.stdout.flush()
            wait_for(CALLS.with_name("released").exists)
    if ARGUMENTS[0] == "train":
        leave_run("done")
