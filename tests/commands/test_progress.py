"""Progress without a terminal: plain lines on stderr, not too many, and the speed since compiling ended."""

import io
import re
import warnings

import pytest
from rich.console import Console

from icrl.commands.progress import SECONDS_BETWEEN_LINES, Progress


class Clock:
    """Shows the seconds it was set to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_speed_and_time_left_count_from_the_end_of_compiling(clock: Clock, capsys: pytest.CaptureFixture[str]):
    with Progress(total=50_000, done=10_000, clock=clock) as progress:
        clock.seconds = 100.0
        progress.begin()
        clock.seconds = 120.0
        progress.advance(14_000, score=3.14)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "14,000 of 50,000 env steps, 200/s, return 3.14, 3.0 min left\n"


def test_lines_are_some_seconds_apart_and_the_last_one_is_never_missing(
    clock: Clock, capsys: pytest.CaptureFixture[str]
):
    with Progress(total=25, clock=clock) as progress:
        for done in range(1, 26):
            clock.seconds = done * SECONDS_BETWEEN_LINES / 10
            progress.advance(done, score=None)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["10", "20", "25"]
    assert lines[-1] == "25 of 25 env steps, 1/s, 0.0 min left"


def test_messages_are_printed_as_they_are(clock: Clock, capsys: pytest.CaptureFixture[str]):
    text = "a path [red]with brackets[/red] " + "and many words " * 20
    with Progress(total=1, clock=clock) as progress:
        progress.say(text)
    assert capsys.readouterr().err == f"{text}\n"


def test_a_phase_says_how_long_it_took_last_and_how_long_it_took(clock: Clock, capsys: pytest.CaptureFixture[str]):
    with Progress(total=1, clock=clock) as progress:
        with progress.phase("compiling", last=38.4, hint="less if the cache has it"):
            clock.seconds = 41.0
        with progress.phase("compiling", hint="the cache will have it"):
            pass
        with progress.phase("evaluating"):
            pass
    assert capsys.readouterr().err.splitlines() == [
        "compiling (38 s last time, less if the cache has it)",
        "compiling took 41 s",
        "compiling (the cache will have it)",
        "compiling took 0 s",
        "evaluating",
        "evaluating took 0 s",
    ]


def on_a_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> tuple[Progress, io.StringIO]:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    return Progress(total=100, clock=clock), screen


def shown(progress: Progress) -> str:
    """The bar as it stands."""
    console = Console(width=120, file=io.StringIO(), force_terminal=False)
    console.print(progress._bar.make_tasks_table(progress._bar.tasks))
    return console.file.getvalue().strip()  # type: ignore[attr-defined]


def test_a_bar_shows_the_phase_and_the_time_left_of_each(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    progress, _ = on_a_terminal(clock, monkeypatch)
    progress._bar.get_time = clock
    assert shown(progress) == ""
    with progress.phase("compiling", last=40.0):
        clock.seconds = 10.0
        assert re.fullmatch(r"compiling .*10 s, up to 30 s left", shown(progress))
        clock.seconds = 45.0
        assert re.fullmatch(r"compiling .*45 s", shown(progress))
    with progress.phase("compiling"):
        clock.seconds = 50.0
        assert re.fullmatch(r"compiling .*5 s", shown(progress))
    progress.begin()
    clock.seconds = 60.0
    progress.advance(50, score=1.5)
    assert re.fullmatch(r"training  50 % .*50 of 100 env steps, 5/s, return 1\.50, left .*", shown(progress))


def test_a_phase_that_fails_leaves_no_trace_on_the_bar(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    progress, _ = on_a_terminal(clock, monkeypatch)
    with pytest.raises(ValueError, match="no"), progress.phase("compiling"):
        raise ValueError("no")
    assert shown(progress) == ""


def test_in_a_notebook_lines_are_displayed_and_no_widget_is_asked_for(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    displayed: list[str] = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda segments, text: displayed.append(text))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # rich's, that ipywidgets are missing
        with Progress(total=100, clock=clock) as progress:
            with progress.phase("compiling", last=3.0):
                clock.seconds = 2.0
            progress.begin()
            clock.seconds = 12.0
            progress.advance(100, score=None)
    assert [text.strip() for text in displayed] == [
        "compiling (3 s last time)", "compiling took 2 s", "100 of 100 env steps, 10/s, 0.0 min left"
    ]  # fmt: skip
