"""FrameKeeper: keeps frames of training (codes and pictures) in a run directory while it trains."""

from collections.abc import Callable
from pathlib import Path

from lowerbound.evaluation import metrics
from lowerbound.evaluation.frames import drop_frames_after, kept_epochs, write_frame
from lowerbound.evaluation.metrics import Subject
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import in_one_line
from lowerbound.foundation.progress import Progress


class FrameKeeper:
    """Writes frames of a subject's model into a run directory; the rank that writes does, the others keep nothing.

    A frame that cannot be made is named to `message`, and training goes on without any more of them.
    """

    def __init__(self, run: Path, subject: Subject, message: Callable[[str], None]) -> None:
        self.run, self.subject, self.message = run, subject, message
        self.is_keeping = distributed.is_writer()

    def begin(self, epochs_done: int) -> None:
        """Remove frames of epochs that will be trained again, and keep that of the model before training."""
        if self.is_keeping:
            drop_frames_after(self.run, epochs_done if epochs_done else -1)
            if not epochs_done:
                self._keep(0)

    def keep(self, progress: Progress) -> None:
        """Keep a frame if the record is that of an epoch's end and the epoch is one of those with a frame."""
        if progress.validation is not None and progress.epoch in kept_epochs(progress.num_epochs):
            self._keep(progress.epoch)

    def keep_final(self, best_epoch: int) -> None:
        """Keep the frame of the weights that were kept, those of the best epoch."""
        self._keep(best_epoch, is_kept=True)

    def _keep(self, epoch: int, is_kept: bool = False) -> None:
        if not self.is_keeping:
            return
        try:
            write_frame(self.run, self.subject, epoch, is_kept)
        except metrics.CAUGHT as error:
            self.is_keeping = False
            self.message(f"no more frames of training are kept ({in_one_line(error)})")
