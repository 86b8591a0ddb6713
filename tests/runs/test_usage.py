import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from icrl.runs import usage
from icrl.runs.usage import OtherPrograms


def test_cores_of_other_programs_are_those_busy_less_this_programs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ticks, stat = os.sysconf("SC_CLK_TCK"), tmp_path / "stat"
    own: Iterator[float] = iter([1.0, 4.0])
    monkeypatch.setattr(usage, "STAT", stat)
    monkeypatch.setattr(usage.os, "times", lambda: (next(own), 0.0, 0.0, 0.0, 0.0))
    seconds = iter([100.0, 110.0])
    stat.write_text(f"cpu {5 * ticks} 0 0 900 7 0 0 0 0 0\ncpu0 1 2 3\n")
    others = OtherPrograms(clock=lambda: next(seconds))
    # 13 s more in all states of work, of which 3 are this program's; idle and waiting count for nothing
    stat.write_text(f"cpu {9 * ticks} {2 * ticks} {3 * ticks} 9999 999 {ticks} {ticks} {2 * ticks} 0 0\ncpu0 1 2 3\n")
    assert others.cores() == 1.0


def test_where_the_system_does_not_say_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(usage, "STAT", tmp_path / "none")
    assert OtherPrograms().cores() is None
