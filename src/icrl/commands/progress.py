"""Progress on stderr: a bar on a terminal, plain lines elsewhere, as in a log or a notebook."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO, Any, Self, cast

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.progress_bar import ProgressBar
from rich.text import Text

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


class _Filling(BarColumn):
    """A bar that steps fill, or, in a phase, the time that it took last; without one it pulses."""

    def render(self, task: Task) -> ProgressBar:
        """The bar as it is now."""
        if not task.fields.get("phase"):
            return super().render(task)
        last, elapsed = task.fields["last"], task.elapsed or 0.0
        pulse = last is None or elapsed >= last
        return ProgressBar(total=last or 1, completed=elapsed, width=40, pulse=pulse, animation_time=task.get_time())


class _Left(ProgressColumn):
    """The time left: by the speed so far, or, in a phase, by how long it took last."""

    max_refresh = 0.5
    _of_steps = TimeRemainingColumn()

    def render(self, task: Task) -> Text:
        """The text as it is now."""
        if not task.fields.get("phase"):
            return Text("left ") + self._of_steps.render(task)
        last, elapsed = task.fields["last"], task.elapsed or 0.0
        left = f", up to {last - elapsed:.0f} s left" if last is not None and elapsed < last else ""
        return Text(f"{elapsed:.0f} s{left}")


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
            TextColumn("{task.description}{task.percentage:>3.0f} %"),
            _Filling(),
            TextColumn("{task.fields[text]}"),
            _Left(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training ", total=total, completed=done, text="", visible=False)

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

    @contextmanager
    def phase(self, name: str, last: float | None = None, hint: str = "") -> Iterator[None]:
        """Shows that something goes on whose end is not in sight.

        Args:
            name: what, such as `compiling`.
            last: seconds that it took last time, which is the only estimate there is.
            hint: what else to know of it.
        """
        started = self._clock()
        about = ", ".join(filter(None, ("" if last is None else f"{last:.0f} s last time", hint)))
        self.say(f"{name} ({about})" if about else name)
        columns = self._bar.columns
        self._bar.columns = (TextColumn("{task.description}"), *columns[1:])
        task = self._bar.add_task(name, total=None, text="", phase=True, last=last)
        try:
            yield
        finally:
            self._bar.remove_task(task)
            self._bar.columns = columns
        self.say(f"{name} took {self._clock() - started:.0f} s")

    def begin(self) -> None:
        """Starts the clock that speed is measured by: compiling is over."""
        self._started = self._clock()
        self._bar.update(self._task, visible=True)

    def advance(self, done: int, score: float | None) -> None:
        """Shows that ``done`` env steps are behind, and the latest return."""
        now = self._clock()
        speed = (done - self._done_before) / max(now - self._started, 1e-9)
        shown = "" if score is None else f", return {score:.2f}"
        text = f"{done:,} of {self._total:,} env steps, {speed:,.0f}/s{shown},"
        self._bar.update(self._task, completed=done, text=text, visible=True)
        last = done >= self._total
        if not self._console.is_terminal and (last or now - self._last_line >= SECONDS_BETWEEN_LINES):
            left = (self._total - done) / max(speed, 1e-9)
            self._console.print(f"{text} {left / 60:.1f} min left", markup=False)
            self._last_line = now
