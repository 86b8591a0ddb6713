"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self, cast

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 10.0


class _Lasting:
    """A stream that may go away, as a closed terminal does, without ending what is written to it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class Progress:
    """How far training is, how fast it goes, and how well the agent does."""

    def __init__(
        self, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic, silent: bool = False
    ) -> None:
        """Args: total, done: env steps of one seed; clock: seconds; silent: show nothing."""
        self._total, self._done_before, self._clock = total, done, clock
        self._console = Console(file=cast(IO[str], _Lasting(sys.stderr)), highlight=False, soft_wrap=True, quiet=silent)
        self._started = self._last_line = clock()
        self._bar = Bar(
            TextColumn("{task.percentage:>3.0f} %"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, completed=done, text="starting,")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Prints a message above the bar."""
        self._console.print(text, markup=False)

    def begin(self) -> None:
        """Starts the clock that speed is measured by: compiling is over."""
        self._started = self._clock()

    def advance(self, done: int, score: float | None) -> None:
        """Shows that ``done`` env steps are behind, and the latest return."""
        now = self._clock()
        speed = (done - self._done_before) / max(now - self._started, 1e-9)
        shown = "" if score is None else f", return {score:.2f}"
        text = f"{done:,} of {self._total:,} env steps, {speed:,.0f}/s{shown},"
        self._bar.update(self._task, completed=done, text=text)
        last = done >= self._total
        if not self._console.is_terminal and (last or now - self._last_line >= SECONDS_BETWEEN_LINES):
            left = (self._total - done) / max(speed, 1e-9)
            self._console.print(f"{text} {left / 60:.1f} min left", markup=False)
            self._last_line = now
