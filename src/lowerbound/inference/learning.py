"""`learn`: a page that introduces variational autoencoders with the numbers and pictures of one run."""

import os
from pathlib import Path

import numpy as np

from lowerbound.data.sources import Splits
from lowerbound.evaluation.bound_terms import BoundTerms, bound_terms
from lowerbound.evaluation.gradient_bench import GradientBench, GradientConfig, measure_gradients
from lowerbound.evaluation.results import ProgressCallback
from lowerbound.evaluation.worked_example import work_example
from lowerbound.foundation.errors import LowerboundError, UsageError, in_one_line
from lowerbound.foundation.run_identity import RunPath, is_run
from lowerbound.models.vae import VAE
from lowerbound.reporting.learn_page import Material, write_learn_page
from lowerbound.runs.finished_run import Run, finished_run, load_run
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.resuming import resume
from lowerbound.runs.run import SILENT, Callbacks, train

PAGE = "learn.html"
VARIABLE, DIGITS = "LOWERBOUND_LESSONS", "digits"
RECIPE, FIRST_RUN = "dense", Path("runs/learn")
NUM_AVERAGED = 100  # test examples
NUM_DRAWS = 2000  # of the example that is shown
NUM_COMPARED, NUM_ESTIMATES = 4, 200  # examples and estimates of gradients


def learn(
    run: RunPath | None = None,
    out: str | Path | None = None,
    *,
    example: int | None = None,
    device: str = "auto",
    data: str = "",
    data_dir: str = "",
    callbacks: Callbacks = SILENT,
) -> Path:
    """Write the page of a run's lessons, by default to learn.html in the run, and return its path.

    Without a run, a small model of the bundled digits is trained first, in runs/learn; it is kept for the next time.
    `example` is the number of a test example; by default one with a typical gap between log p(x) and the ELBO.

    UsageError for a number that the test split does not have; DataError or RunError if the run or its data cannot be
    read.
    """
    found = lesson_run(callbacks=callbacks) if run is None else load_run(run)
    path = found.path
    splits = found.splits(data=data, data_dir=data_dir)
    model = found.model.vae.to(choose_device(device))
    _check_number(example, splits)
    callbacks.stage("measuring the bound", 0, 2)
    population = None if model.is_deterministic else _population(model, splits)
    number = _typical(population) if example is None else example
    worked = work_example(model, splits.test.subset(np.array([number])), NUM_DRAWS)
    callbacks.stage("comparing gradients", 1, 2)
    bench, reason = _gradients(model, splits, callbacks.stage)
    material = Material(
        results=found.results,
        run=path,
        number=number,
        label=_label(splits, number),
        worked=worked,
        population=population,
        bench=bench,
        why_no_gradients=reason,
    )
    return write_learn_page(material, Path(out) if out is not None else path / PAGE)


def lesson_run(data: str = "", callbacks: Callbacks = SILENT) -> Run:
    """The run that lessons share: a small model of the digits, trained or resumed if it is not there yet.

    `data` is a named source; by default that in the environment variable LOWERBOUND_LESSONS, or the bundled digits. The
    run is in runs/learn, that of another source in runs/learn-SOURCE.
    """
    source = data or os.environ.get(VARIABLE, DIGITS)
    path = FIRST_RUN if source == DIGITS else FIRST_RUN.with_name(f"{FIRST_RUN.name}-{source}")
    if finished := finished_run(path):
        return finished
    callbacks.message(f"training a small model of the {source}, in {path}")
    if is_run(path):
        return resume(path, callbacks=callbacks)
    command = f"lowerbound train {source} --recipe {RECIPE} --out {path}"
    return train(source, recipe=RECIPE, out=path, command=command, callbacks=callbacks)


def _population(model: VAE, splits: Splits) -> BoundTerms:
    some = splits.test.head(NUM_AVERAGED)
    return bound_terms(model, some, device=next(model.parameters()).device)


def _typical(population: BoundTerms | None) -> int:
    """The example with the median gap; the first for an autoencoder, which has none."""
    if population is None:
        return 0
    return int(np.argsort(population.kl_to_posterior, kind="stable")[len(population.elbo) // 2])


def _gradients(model: VAE, splits: Splits, progress: ProgressCallback) -> tuple[GradientBench | None, str]:
    """The comparison of estimators; or why there is none for this model."""
    device = next(model.parameters()).device
    config = GradientConfig(num_samples=2, num_examples=NUM_COMPARED, num_estimates=NUM_ESTIMATES)
    try:
        return measure_gradients(model, splits.test, config, device, progress), ""
    except LowerboundError as error:
        return None, f"The estimators were not compared for this run: {in_one_line(error)}"


def _label(splits: Splits, number: int) -> str:
    labels = splits.test.labels
    return "" if labels is None or not splits.label_names else splits.label_names[int(np.asarray(labels)[number])]


def _check_number(example: int | None, splits: Splits) -> None:
    if example is not None and not 0 <= example < len(splits.test):
        raise UsageError(f"no such test example: {example}; accepted: 0 to {len(splits.test) - 1}.", hint="example")
