"""Plots: the figures of a run's report as methods, for notebooks: run.plot.manifold()."""

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from lowerbound.evaluation.frames import Frame
from lowerbound.evaluation.results import Results
from lowerbound.foundation.errors import UsageError
from lowerbound.reporting import frame_plots
from lowerbound.reporting.plots import MANIFOLD_NAME, Plot, all_plots, manifold_sizes


class Plots:
    """The figures of a run's report, each a method that returns a matplotlib Figure, under the name of its PNG.

    `dir(run.plot)` has those of this run; `help(run.plot.latent_space)` is the figure's caption. UsageError, with the
    reason, for a figure that the run does not have.
    """

    def __init__(self, results: Results, frames: Callable[[], Sequence[Frame]]) -> None:
        self._results, self._frames = results, frames

    def manifold(self, size: int | None = None) -> Figure:
        """Images decoded from a grid over two latents, of `size` tiles in a row, or the first grid that there is."""
        sizes = manifold_sizes(self._results)
        wanted = size if size is not None else sizes[0] if sizes else 15
        if sizes and wanted not in sizes:
            raise UsageError(f"the run has no manifold of size {size}; it has {', '.join(map(str, sizes))}.")
        return self._draw(f"manifold_{wanted}")

    def training_frame(self, index: int = -1) -> Figure:
        """Codes and decoded images at one of the epochs that were kept during training, by default the last.

        UsageError if the run has no such frame.
        """
        frames = self._frames()
        if not -len(frames) <= index < len(frames):
            raise UsageError(f"the run has {len(frames)} frames of its training; got index {index}.")
        return frame_plots.training_frame(
            self._results, frame_plots.scene_of(self._results, frames), index % len(frames)
        )

    def __getattr__(self, name: str) -> Callable[[], Figure]:
        plot = None if name.startswith("_") else self._known().get(name)
        if plot is None:
            raise AttributeError(f"a run has no figure {name!r}; it has {', '.join(dir(self))}.")

        def draw() -> Figure:
            return self._draw(name)

        draw.__name__, draw.__doc__ = name, f"{plot.title}. {plot.caption}"
        return draw

    def __dir__(self) -> list[str]:
        available = [name for name, plot in self._known().items() if not plot.why_not(self._results)]
        own = ["manifold"] if any(map(MANIFOLD_NAME.fullmatch, available)) else []
        return sorted({*available, *own, "training_frame"})

    def __repr__(self) -> str:
        return f"Plots({', '.join(dir(self))})"

    def _known(self) -> dict[str, Plot]:
        return all_plots(self._results)

    def _draw(self, name: str) -> Figure:
        plot = self._known()[name]
        if reason := plot.why_not(self._results):
            raise UsageError(f"the run has no figure {name!r}: {reason}.")
        return plot.figure(self._results)
