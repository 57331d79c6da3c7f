"""Files in a run's directory that training does not replace: once it has new weights, they belong to an earlier model.

An exported model, samples, codes, a filled table or a page of lessons is written by its own command, and nothing tells
from such a file that the run was resumed after it. So a resumed run names those that it leaves behind.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lowerbound.evaluation.frames import FOLDER as FRAMES
from lowerbound.evaluation.results import ARRAYS, NUMBERS
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.run_identity import CONFIG, MODEL
from lowerbound.reporting.pages import REPORT, link_to
from lowerbound.runs.free_directory import CHECKPOINTS
from lowerbound.runs.run_log import LOG
from lowerbound.runs.trackers import FOLDERS
from lowerbound.runs.tracking import STORED as TRACKED
from lowerbound.runs.trained_model import CALIBRATION
from lowerbound.training.checkpoint import model_checksum

OF_TRAINING = {CONFIG, MODEL, CALIBRATION, LOG, CHECKPOINTS, FRAMES, NUMBERS, ARRAYS, REPORT, "figures", "annealing"}
OF_TRAINING |= {TRACKED, *FOLDERS}
"""What training writes again or continues, and what states its model and is refused with another one."""

PAGES_OF_RUNS = ("index.html", "sweep.html")
MOST_NAMED = 8


@contextmanager
def replacing_model(run: Path, message: Callable[[str], None]) -> Iterator[None]:
    """Within it, a run's model is written; a message names the files of the model that it replaced, if it differs."""
    before = _checksum(run)
    yield
    if not before or _checksum(run) == before:
        return
    paths = [str(path) for path in (*_earlier_in(run), *_pages_beside(run))]
    if paths:
        more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
        message(
            f"made with the earlier model, unless they are your own, and not updated: {', '.join(paths[:MOST_NAMED])}"
            f"{more}; write them again, or remove them"
        )


def _checksum(run: Path) -> str:
    """The checksum of a run's model; empty if it has none, or none that can be read."""
    with suppress(RunError):
        return model_checksum(run) if (run / MODEL).is_file() else ""
    return ""


def _earlier_in(run: Path) -> list[Path]:
    return sorted(
        path for path in run.iterdir() if path.name not in OF_TRAINING and not path.name.startswith((".", "~"))
    )


def _pages_beside(run: Path) -> Iterator[Path]:
    """Pages of several runs, of which this is one, in the folder of the run's directory."""
    for name in PAGES_OF_RUNS:
        page = run.parent / name
        with suppress(OSError, UnicodeDecodeError):
            if page.is_file() and f'"{link_to(run, page)}"' in page.read_text("utf-8"):
                yield page
