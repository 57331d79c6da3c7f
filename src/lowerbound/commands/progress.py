"""Progress on the terminal: bars for training and evaluation; Ctrl-C requests a stop after the current step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

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
        self.bar = Progress(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=console.err,
            transient=True,
            disable=quiet or not console.err.is_terminal,
        )
        self.task = self.bar.add_task("training", total=None, epoch="epoch 1", numbers="starting")

    def begin(self, name: str) -> None:
        """Show which of several runs this is, such as "run 2/6"."""
        self.name = f"{name}  "
        self.bar.update(self.task, total=None, completed=0, epoch=f"{self.name}epoch 1", numbers="starting")

    def show(self, progress: "TrainingProgress") -> None:
        """Draw one record."""
        speed = f"{progress.examples_per_second:,.0f} examples/s"
        self.bar.update(
            self.task,
            total=progress.num_steps,
            completed=progress.step,
            epoch=f"{self.name}epoch {progress.epoch}/{progress.num_epochs}",
            numbers=f"{as_text(progress.train)}  {speed}",
        )
        if progress.validation is not None and not self.quiet and _deserves_a_line(progress):
            best = " [green]best[/green]" if progress.is_best else ""
            console.err.print(
                f"{self.name}epoch {progress.epoch:>3}/{progress.num_epochs}  train {as_text(progress.train)}  "
                f"validation {as_text(progress.validation)}  {speed}{best}"
            )


class StageDisplay(_Display):
    """Progress of an evaluation or of packing: a bar for each stage, or a line without a terminal."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=console.err,
            transient=True,
            disable=quiet or not console.err.is_terminal,
        )
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


def _deserves_a_line(progress: "TrainingProgress") -> bool:
    """Whether to print an epoch: every epoch if there are at most 30, otherwise about twenty of them."""
    stride = -(-progress.num_epochs // 20) if progress.num_epochs > 30 else 1
    return progress.epoch % stride == 0 or progress.epoch in (1, progress.num_epochs)


def as_text(terms: "MeanTerms") -> str:
    """A record's terms on one line, in nats."""
    penalties = "".join(f"  {name} {value:.4g}" for name, value in terms.penalties.items())
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
