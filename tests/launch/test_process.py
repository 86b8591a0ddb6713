"""A launched process: where its words go, what it does not hear, how it is stopped."""

import sys
from pathlib import Path

import pytest

from icrl.launch.process import start, stop

SIGNALLED = "import os, signal; os.kill(os.getpid(), signal.{}); print('goes on')"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(99)"
)


@pytest.mark.parametrize("name", ["SIGINT", "SIGUSR1", "SIGUSR2"])
def test_it_does_not_hear_what_a_terminal_or_a_queue_sends_to_all(name: str, tmp_path: Path):
    log = tmp_path / "run" / "log"
    assert start([sys.executable, "-c", SIGNALLED.format(name)], log).wait() == 0
    assert log.read_text() == "goes on\n"


def test_its_words_follow_those_of_the_time_before(tmp_path: Path):
    for word in ("first", "second"):
        start([sys.executable, "-c", f"print({word!r})"], tmp_path / "log").wait()
    assert (tmp_path / "log").read_text() == "first\nsecond\n"


def test_a_log_that_a_link_puts_elsewhere_is_not_written(tmp_path: Path):
    (tmp_path / "log").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="symbolic links"):
        start([sys.executable, "-c", "print('word')"], tmp_path / "log")
    assert not (tmp_path / "outside").exists()


def test_one_that_does_not_end_when_asked_is_killed(tmp_path: Path):
    process = start([sys.executable, "-c", STUBBORN], tmp_path / "log")
    while not (tmp_path / "log").read_text():
        assert process.poll() is None
    stop(process, patience_seconds=0.1)
    assert process.wait() == -9
