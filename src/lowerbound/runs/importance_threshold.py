"""The threshold of the importance-weighted anomaly score: measured when a run is first asked for it, and kept."""

from pathlib import Path

from lowerbound.evaluation.anomaly_calibration import with_importance
from lowerbound.evaluation.anomaly_scores import Calibration
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import LowerboundError, UsageError
from lowerbound.foundation.run_identity import is_run
from lowerbound.models.vae import VAE
from lowerbound.runs.run_data import own_splits
from lowerbound.runs.run_lock import writing_into


def add_importance(file: Path, calibration: Calibration, model: VAE, *, data: str = "", data_dir: str = "") -> None:
    """Measure the score on the run's held-out examples, and write the calibration with it into its file.

    `data` and `data_dir` say where the run's data are, as for `own_splits`. UsageError if they cannot be read, or
    beside a model that is not in a run directory.
    """
    run = file.parent
    about = "score 'importance' has no threshold yet: it is measured at its first use, on the run's held-out examples"
    if not is_run(run):
        raise UsageError(f"{about}, and {run} is not a run directory; choose another score.")
    with distributed.together():
        try:
            held_out = own_splits(run, data=data, data_dir=data_dir).validation
        except LowerboundError as error:
            reason = str(error).rstrip(".")
            raise UsageError(f"{about}, but {reason}. Other scores need no data.", hint=error.hint) from error
    with writing_into(run), distributed.together():
        if distributed.is_writer():
            device = next(model.parameters()).device
            with_importance(calibration, model, held_out, device).write(file)
