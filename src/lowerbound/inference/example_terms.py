"""example_terms: ELBO, rate and distortion of each example, as a folder of Parquet files."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lowerbound.data.column_writers import Columns
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.evaluation.results import ProgressCallback
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.inference.engine import asked, check_engine, choose_engine, on_examples
from lowerbound.inference.input_parts import first_of, open_inputs, parts_of
from lowerbound.inference.shards import PartResult, Sharded, check_shards, job_of, write_shards
from lowerbound.models.vae import VAE
from lowerbound.runs.inputs import STANDARD, InputOptions
from lowerbound.runs.packed_inputs import Part
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.trained_model import load
from lowerbound.training.checkpoint import model_checksum


def write_example_terms(
    run: RunPath,
    inputs: Sequence[str],
    shards: Path,
    *,
    num_draws: int = 16,
    seed: int = 0,
    options: InputOptions = STANDARD,
    device: str = "auto",
    engine: str = "auto",
    progress: ProgressCallback = lambda stage, done, total: None,
) -> Sharded:
    """For each input its ELBO, rate and distortion in nats, over `num_draws` draws from the posterior, and the squared
    error of the reconstruction, mean over elements; by default for the run's test examples.

    Several ranks write the files together. ConfigError for fewer than one draw.
    """
    check_shards(None, shards)
    if num_draws < 1:
        raise ConfigError(f"the terms of an example need at least 1 draw, got {num_draws}.")
    check_engine(engine)
    trained, place = load(run), choose_device(device)
    found = open_inputs(trained, inputs, options)
    passes = {"encoder": 2 * found.num_rows, "decoder": (num_draws + 1) * found.num_rows}
    trial = on_examples(partial(first_of, found))
    chosen = choose_engine(engine, run, trained.vae.to(place), passes, trial, place)

    def results(start: int, stop: int) -> Iterator[PartResult]:
        for part in parts_of(found, start, stop):
            columns = _columns(chosen.model, part, num_draws, seed, str(place))
            yield PartResult(columns, part.collection.skipped, part.collection.notes)

    about = {"draws": num_draws, "seed": seed, "skips": options.skip_broken, **asked(engine)}
    job = job_of("evaluate", model=model_checksum(path_of(run)), data=found.identity, **about)
    written = write_shards(shards, found.num_rows, job, results, partial(progress, "evaluating"))
    return replace(written, notes=(*chosen.notes, *written.notes))


def _columns(model: VAE, part: Part, num_draws: int, seed: int, device: str) -> Columns:
    terms = expected_terms(model, part.examples, num_draws, seed, device)
    known = {"distortion": terms.distortion, "squared_error": terms.squared_error}
    if not model.is_deterministic:
        known |= {"elbo": terms.elbo, "rate": terms.rate}
    return {"id": part.ids} | {name: values.numpy() for name, values in sorted(known.items())}
