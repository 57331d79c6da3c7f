"""Progress on the terminal: bars for training and evaluation; Ctrl-C requests a stop after the current step."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from lowerbound.commands import console
from lowerbound.foundation import distributed
from lowerbound.foundation.interrupts import write_error

if TYPE_CHECKING:
    from lowerbound.foundation.progress import MeanTerms
    from lowerbound.foundation.progress import Progress as TrainingProgress

D = TypeVar("D", bound="_Display")


class _Display:
    """A progress bar, shown within a `with` block."""

    bar: Progress
    quiet: bool

    def __enter__(self: D) -> D:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def message(self, text: str) -> None:
        """Print a message."""
        if not self.quiet:
            console.err.print(text, markup=False)


class ProgressDisplay(_Display):
    """A progress bar for training, and one line per epoch; without a terminal only the lines."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.name = ""
        self.bar = _bar(quiet, TextColumn("{task.fields[epoch]}"), _Longest())
        self.task = self.bar.add_task("training", total=None, epoch="epoch 1", texts=("starting",))

    def begin(self, name: str) -> None:
        """Show which of several runs this is, such as "run 2/6"."""
        self.name = f"{name}  "
        self.bar.update(self.task, total=None, completed=0, epoch=f"{self.name}epoch 1", texts=("starting",))

    def show(self, progress: "TrainingProgress") -> None:
        """Draw one record."""
        self.bar.update(
            self.task,
            total=progress.num_steps,
            completed=progress.step,
            epoch=f"{self.name}epoch {progress.epoch}/{progress.num_epochs}",
            texts=bar_texts(progress),
        )
        if progress.validation is not None and not self.quiet and _deserves_a_line(progress):
            # Beside a bar the time that remains stands there.
            left = 0.0 if console.err.is_terminal else progress.seconds_left
            line = Text(longest_within(console.err.width, epoch_lines(progress, self.name, left)))
            line.highlight_words(["best"], "green")
            console.err.print(line)


class StageDisplay(_Display):
    """Progress of an evaluation or of packing: a bar for each stage, or a line without a terminal."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bar = _bar(quiet, _Stage(), TextColumn("{task.percentage:>3.0f} %"))
        self.stage = ""
        self.task = self.bar.add_task("", total=None)

    def show(self, stage: str, done: int, total: int) -> None:
        """Draw how much of a stage is done; a stage of one step has no percentage."""
        if stage != self.stage:
            self.stage = stage
            self.bar.remove_task(self.task)
            self.task = self.bar.add_task(stage, total=None)
            if not console.err.is_terminal and not self.quiet:
                console.err.print(f"{stage} ...", markup=False)
        self.bar.update(self.task, total=total if total > 1 else None, completed=done)


def _bar(quiet: bool, first: ProgressColumn, last: ProgressColumn) -> Progress:
    """A bar of one line at every width of a terminal: the bar itself takes the space that the others leave."""
    return _Bar(
        first,
        BarColumn(bar_width=None, table_column=Column(min_width=LEAST_BAR, ratio=1)),
        last,
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        console=console.err,
        transient=True,
        expand=True,
        disable=quiet or not console.err.is_terminal,
    )


class _Bar(Progress):
    """A bar that leaves nothing behind where it is not shown: some versions of rich end it with an empty line."""

    def stop(self) -> None:
        if not self.disable:
            super().stop()


class _Stage(ProgressColumn):
    """The name of a stage, shortened where the terminal is narrow."""

    def render(self, task: Task) -> Text:
        text = Text(task.description, no_wrap=True)
        text.truncate(console.err.width - LEAST_BAR - len("100 %") - TIME_WIDTH - 3, overflow="ellipsis")
        return text


class _Longest(ProgressColumn):
    """The longest of several texts that leaves room for the bar and the time that remains."""

    def render(self, task: Task) -> Text:
        room = console.err.width - len(task.fields["epoch"]) - LEAST_BAR - TIME_WIDTH - 3
        return Text(longest_within(room, task.fields["texts"]), no_wrap=True, overflow="ellipsis")


AUTOENCODER = "reconstruction error"

LEAST_BAR, TIME_WIDTH = 5, 7
"""Columns of the terminal for the bar, and for the time that remains, such as 1:02:03."""


def longest_within(width: int, texts: Sequence[str]) -> str:
    """The first of `texts`, from the longest to the shortest, that is not wider than `width`; else the last, cut."""
    return next((text for text in texts if len(text) <= width), texts[-1][: max(0, width)])


def bar_texts(progress: "TrainingProgress") -> tuple[str, ...]:
    """What stands beside a bar, from the longest text to the shortest."""
    speed = f"{progress.examples_per_second:,.0f} examples/s"
    name, value = _level(progress.train)
    short = f"{name} {value:.2f}"
    return f"{as_text(progress.train)}  {speed}", as_text(progress.train), f"{short}  {speed}", short, ""


def epoch_lines(progress: "TrainingProgress", name: str = "", seconds_left: float = 0.0) -> tuple[str, ...]:
    """The line of an epoch, from the longest text to the shortest, with the time that remains."""
    assert progress.validation is not None
    epoch = f"{name}epoch {progress.epoch:>{len(str(progress.num_epochs))}}/{progress.num_epochs}"
    (name_of_level, train), (_, validation) = _level(progress.train), _level(progress.validation)
    speed, best = f"{progress.examples_per_second:,.0f} examples/s", "  best" if progress.is_best else ""
    left = f"  {timedelta(seconds=round(seconds_left))} left" if seconds_left >= 1 else ""
    full = f"{epoch}  train {as_text(progress.train)}  validation {as_text(progress.validation)}"
    short = f"{epoch}  {name_of_level}: train {train:.2f}, validation {validation:.2f}"
    return (
        f"{full}  {speed}{left}{best}",
        f"{short}  {speed}{left}{best}",
        f"{short}{left}{best}",
        f"{short}{best}",
        f"{epoch}  {name_of_level} {validation:.2f}{best}",
        f"{epoch}  {validation:.2f}{best}",
        f"{epoch}  {validation:.2f}",
    )


def _level(terms: "MeanTerms") -> tuple[str, float]:
    """The name and value of the number that stands for all terms: the ELBO; for an autoencoder, its error."""
    # A rate is exactly zero for rate 'none' alone.
    return (AUTOENCODER, terms.distortion) if terms.rate == 0 else ("ELBO", terms.elbo)


def _deserves_a_line(progress: "TrainingProgress") -> bool:
    """Whether to print an epoch: every epoch if there are at most 30, otherwise about twenty of them."""
    stride = -(-progress.num_epochs // 20) if progress.num_epochs > 30 else 1
    return progress.epoch % stride == 0 or progress.epoch in (1, progress.num_epochs)


def as_text(terms: "MeanTerms") -> str:
    """A record's terms on one line, in nats."""
    penalties = "".join(f"  {name} {value:.4g}" for name, value in terms.penalties.items())
    if terms.rate == 0:
        return f"{AUTOENCODER} {terms.distortion:.2f}{penalties}"
    return f"ELBO {terms.elbo:.2f} = -({terms.distortion:.2f} distortion + {terms.rate:.2f} rate){penalties}"


@contextmanager
def stopping_politely() -> Iterator["StopRequest"]:
    """The first Ctrl-C requests a stop after the current step; a second one stops at once."""
    request = StopRequest()
    previous = signal.signal(signal.SIGINT, request.receive)
    try:
        yield request
    finally:
        signal.signal(signal.SIGINT, previous)


class StopRequest:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.received = False

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler."""
        if self.received:
            raise KeyboardInterrupt
        self.received = True
        # Not through rich, which the signal may have interrupted.
        if distributed.is_writer():
            write_error(b"stopping after this step and saving; press Ctrl-C again to stop at once\n")

    def __call__(self) -> bool:
        return self.received
