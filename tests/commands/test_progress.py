"""Progress without a terminal: plain lines on stderr, not too many, and the speed since compiling ended."""

import pytest

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
