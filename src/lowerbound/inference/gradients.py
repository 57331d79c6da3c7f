"""`gradients`: variance, bias and cost of gradient estimators at a trained model, with a figure."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lowerbound.data.column_writers import check_output
from lowerbound.evaluation.gradient_bench import GradientBench, GradientConfig, measure_gradients
from lowerbound.evaluation.results import ProgressCallback
from lowerbound.foundation.run_identity import RunPath
from lowerbound.foundation.storage import write_bytes
from lowerbound.reporting import theme
from lowerbound.reporting.gradient_plot import gradient_figure
from lowerbound.runs.inputs import run_of
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import own_splits
from lowerbound.runs.trained_model import TrainedModel, load


def gradients(
    run: TrainedModel | RunPath,
    *,
    bound: str = "elbo",
    num_samples: int = 2,
    num_examples: int = 8,
    num_estimates: int = 500,
    seed: int = 0,
    device: str = "auto",
    data: str = "",
    data_dir: str = "",
    out: Path | str | None = None,
    progress: ProgressCallback = lambda stage, done, total: None,
) -> GradientBench:
    """Variance, bias and cost of every estimator of a bound's gradient, at a trained model's first test examples.

    The bound of `num_samples` draws is one of `objective.bound`, with its default options. Gradients are with respect
    to the posterior's parameters of each example, and to the encoder's weights. `data` is the new path of the run's
    data if they were moved; with `out`, a figure is written there as a PNG.

    ConfigError for an autoencoder, which has no such bound, and for numbers that are too small; TooLarge for numbers
    that memory cannot hold; UsageError or RunError for anything but a run.

    Examples:
        >>> lb.gradients("runs/dense", num_examples=2, num_estimates=100)
        GradientBench(the ELBO, 2 draws: reparameterized, reparameterized-monte-carlo, stl, ...)
    """
    config = GradientConfig(
        bound=bound, num_samples=num_samples, num_examples=num_examples, num_estimates=num_estimates, seed=seed
    )
    if out is not None:
        check_output(Path(out), [], is_table=False)
    trained = run if isinstance(run, TrainedModel) else load(run)
    splits = own_splits(run_of(trained), data=data, data_dir=data_dir)
    chosen = choose_device(device)
    bench = measure_gradients(trained.vae.to(chosen), splits.test, config, chosen, progress)
    if out is not None:
        write_bytes(Path(out), theme.png(gradient_figure(bench)))
    return bench


def as_json(bench: GradientBench) -> dict[str, Any]:
    """All results, as JSON for other programs; unknown numbers are null."""
    found: dict[str, Any] = _with_nulls(asdict(bench))
    return found


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
