"""Run: a finished run with its model and results, as `train` returns it; load_run reads one from its directory."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lowerbound
from lowerbound.data.sources import Splits
from lowerbound.evaluation.frames import FOLDER, Frame, read_frames
from lowerbound.evaluation.results import Results, read_results
from lowerbound.foundation.arguments import named_arguments, named_methods
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.run_identity import RunPath, path_of, read_config
from lowerbound.foundation.storage import copy_folder
from lowerbound.reporting.animation import check_animation, write_animation
from lowerbound.reporting.pages import REPORT
from lowerbound.reporting.run_plots import Plots
from lowerbound.reporting.run_view import run_view
from lowerbound.runs.free_directory import check_is_free
from lowerbound.runs.pretrained import save_pretrained
from lowerbound.runs.run_data import own_splits
from lowerbound.runs.trained_model import TrainedModel, load

ANIMATION = "training.gif"


@named_methods
@named_arguments
@dataclass(frozen=True, eq=False)
class Run:
    """A finished run. Whatever takes the path of a run also takes a Run.

    Examples:
        >>> run = lb.load_run("runs/dense")
        >>> images = run.splits().test.values
        >>> images.shape
        (360, 8, 8, 1)
        >>> run.plot.latent_space().savefig("latents.png")
        >>> run.score(images[:5])
        Scored(... of 5 anomalous, complexity-residual above ... nats)
    """

    path: Path
    model: TrainedModel
    results: Results
    held: Splits | None = None
    """The data in memory that it was trained on, in the process that trained it."""

    @property
    def plot(self) -> Plots:
        """The figures of the run's report: `run.plot.latent_space()` is a matplotlib Figure."""
        return Plots(self.results, lambda: frames_of(self.path))

    def animate(self, path: str | Path | None = None) -> Path:
        """Write codes and decoded images over training as .gif or .mp4, by default RUN/training.gif; as `animate`."""
        return animate(self.path, path)

    def save(self, out: str | Path) -> "Run":
        """Copy the run to the directory `out`, atomically; UsageError if `out` is not empty."""
        path = Path(out)
        check_is_free(path)
        copy_folder(self.path, path)
        return replace(self, path=path, model=replace(self.model, path=path))

    def splits(self, *, data: str = "", data_dir: str = "") -> Splits:
        """The data that the run was trained on: those in memory that `train` was given or, read again and verified by
        checksum, those of a source or a path; `data` is their new path.
        """
        if self.held is not None and not data:
            return self.held
        return own_splits(self.path, data=data, data_dir=data_dir)

    def save_pretrained(self, out: str | Path) -> Path:
        """Write the model in Hugging Face's layout, with a model card; see `lowerbound.runs.pretrained`."""
        return save_pretrained(self, out)

    def score(self, data: Any = None, **options: Any) -> Any:
        """Anomaly scores of examples, with verdicts and reasons; see `lowerbound.score`."""
        return lowerbound.score(self, data, **options)

    def explore(self, **options: Any) -> Any:
        """Open the explorer: inside the notebook or, elsewhere, in the browser; see `lowerbound.explore`."""
        return lowerbound.explore(self, **options)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.results!r})"

    def _repr_html_(self) -> str:
        return run_view(self.results, self.path)


def load_run(run: RunPath) -> Run:
    """A finished run in a directory, with its results; UsageError for another directory, RunError for damaged files.

    `lowerbound.load` reads only the model, which needs no results.

    Examples:
        >>> run = lb.load_run("runs/dense")
        >>> [score.name for score in run.results.scores if score.split == "test"]
        ['elbo', 'distortion', 'rate', ...]
    """
    path = path_of(run)
    read_config(path)
    return Run(path, load(path), read_results(path))


def finished_run(path: Path) -> Run | None:
    """The run in a directory; None if it did not finish."""
    if not (path / REPORT).exists():
        return None
    try:
        return load_run(path)
    except RunError:  # it was resumed, and killed before the new model was evaluated
        return None


def animate(run: RunPath, out: str | Path | None = None) -> Path:
    """Write an animation of a run's training, codes beside decoded images, and return its path.

    `out` ends in .gif or, where ffmpeg is installed, in .mp4; default: RUN/training.gif, which is replaced. RunError
    for a run without frames of its training, UsageError for another format.
    """
    folder = path_of(run)
    path = folder / ANIMATION if out is None else Path(out).expanduser()
    check_animation(path)
    read_config(folder)
    return write_animation(read_results(folder), frames_of(folder), path)


def frames_of(run: Path) -> tuple[Frame, ...]:
    """The frames of a run's training; RunError, with the reason, if it has none."""
    frames = read_frames(run)
    if not frames:
        raise RunError(
            f"{run / FOLDER} has no frames of training: they are kept while a model trains, and this run was trained "
            "without them, or only its prior was fitted; train it again to animate it."
        )
    return frames
