"""Tasks of a trained model: sample, reconstruct, encode, interpolate, evaluate."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowerbound.data.batches import Batches, one_batch
from lowerbound.data.column_writers import (
    WRITERS,
    Columns,
    check_output,
    check_suffix,
    labels_column,
    write_columns,
)
from lowerbound.data.data_kinds import describe_shape
from lowerbound.data.examples import Collection
from lowerbound.data.objects import read_object
from lowerbound.data.sources import DataConfig, Splits, read_size
from lowerbound.data.sources import load as load_data
from lowerbound.data.splits import splits_for_evaluation
from lowerbound.evaluation import generation
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.expected_terms import BATCH_SIZE
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.full_evaluation import evaluate_full
from lowerbound.evaluation.health import UNKNOWN
from lowerbound.evaluation.quick_evaluation import score_examples
from lowerbound.evaluation.results import ProgressCallback, Results, Score
from lowerbound.foundation import distributed
from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.errors import DataError, UnknownName, UsageError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.inference.engine import asked, check_engine, choose_engine, on_examples, on_prior
from lowerbound.inference.input_parts import InputParts, first_of, joined, open_inputs, parts_of, skipped_and_notes
from lowerbound.inference.shards import PartResult, check_shards, job_of, write_shards
from lowerbound.inference.task_outputs import in_run, save_each, save_grid, write_rows
from lowerbound.models.missing_labels import predicted
from lowerbound.models.vae import VAE
from lowerbound.probability.prior import Temperature
from lowerbound.probability.summaries import summary_of
from lowerbound.runs.condition_tables import values_of
from lowerbound.runs.inputs import STANDARD, InputOptions, captions_of, read_inputs, read_one, run_of
from lowerbound.runs.packed_inputs import Part
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import own_splits, splits_in_memory, trained_with
from lowerbound.runs.trained_model import TrainedModel, load
from lowerbound.training.checkpoint import model_checksum

NUM_DRAWS = 16  # from the posterior of each example that is reconstructed
NUM_SAMPLES = 64  # unless another number is asked for
MAX_SAMPLES = 10_000  # at once


@dataclass(frozen=True)
class Encoded:
    """A file of posteriors, with what was skipped and how the examples were converted."""

    path: Path
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    engine: str = "torch"


@dataclass(frozen=True)
class Reconstructed:
    """A file of reconstructions, with scores of all examples, and what was skipped."""

    path: Path
    scores: list[Score]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    engine: str = "torch"


@kept_memory()
def sample(
    run: RunPath,
    num_examples: int | None = None,
    temperature: Temperature = 1.0,
    seed: int = 0,
    out: Path | None = None,
    folder: Path | None = None,
    num_columns: int = 0,
    engine: str = "auto",
    given: Mapping[str, Any] | None = None,
    given_table: Path | None = None,
) -> Path:
    """Draws from the model: decoded means of images as one picture, or each as a file of `folder`; rows as a table.

    The picture has `num_columns` columns; with 0 it is about square. The engine "auto" is torch, so that the first
    draws are the same to the bit, however many follow. A conditional model samples for the values `given` of its
    conditions, or one example for each row of a `given_table` of them; by default, the levels of a single condition in
    turn. UsageError for outputs that exclude one another, and for a folder or a grid of anything but images.
    """
    check_engine(engine)
    if folder is not None and (out is not None or num_columns):
        raise UsageError("a folder gets one file for each image, instead of one picture; leave one of both out.")
    place, trained = path_of(run), load(run)
    model = trained.vae
    if given_table is not None:
        of_table = values_of(given_table, trained.schema, num_examples)
        num_examples, given = len(next(iter(of_table.values()))), {**of_table, **(given or {})}
        if num_examples > MAX_SAMPLES:
            raise UsageError(f"{given_table} has {num_examples:,} rows; accepted: at most {MAX_SAMPLES:,}.")
    num_examples = num_examples or NUM_SAMPLES
    if not model.has_prior:
        raise UsageError(
            f"{place} is a deterministic autoencoder; it has no prior to sample from.", hint="fit-prior", path=place
        )
    if engine == "onnx":
        model = choose_engine(engine, run, model, {"decoder": num_examples}, on_prior).model
        trained = replace(trained, vae=model)
    if trained.schema.layout != "image":
        if folder is not None or num_columns:
            kind = "rows of a table" if trained.schema.layout == "table" else "arrays"
            wanted = "a picture" if folder is None else "a folder of pictures"
            raise UsageError(
                f"{place} samples {kind}, which are written to one file ({', '.join(WRITERS)}), not to {wanted}.",
                hint="out",
            )
        path = out or in_run(run, "samples.csv")
        check_suffix(path)
        rows = trained.generate(num_examples, seed=seed, temperature=temperature, given=given)
        return write_rows(path, rows, trained.schema)
    if folder is None:
        check_output(out or in_run(run, "samples.png"), [], is_table=False)
    model = trained.given(given or trained.levels_in_turn(num_examples), num_examples)
    images = generation.prior_samples(model, num_examples, seed, temperature)
    if folder is not None:
        return save_each(folder, images)
    return save_grid(out or in_run(run, "samples.png"), images, num_columns or int(np.ceil(np.sqrt(num_examples))))


def read_grid(text: str) -> tuple[int, int]:
    """Columns and rows of a picture from COLUMNSxROWS; UsageError for anything else, or too many images."""
    grid = read_size(text)
    if grid is None or grid[0] * grid[1] > MAX_SAMPLES:
        raise UsageError(
            f"grid {text!r} is not COLUMNSxROWS of at most {MAX_SAMPLES:,} images, such as 8x4.", hint="grid"
        )
    return grid


@kept_memory()
@torch.no_grad()
def reconstruct(
    run: RunPath,
    inputs: Sequence[str],
    num_examples: int = 16,
    options: InputOptions = STANDARD,
    out: Path | None = None,
    engine: str = "auto",
) -> Reconstructed:
    """Scores of the reconstructions of all `inputs`, and the first of them: images above their reconstructions as one
    picture, other examples as rows of a .csv, .npz, .parquet or .json file with the expected values."""
    check_engine(engine)
    trained = load(run)
    is_image = trained.schema.layout == "image"
    path = out or in_run(run, "reconstructions.png" if is_image else "reconstructions.csv")
    check_output(path, inputs, is_table=not is_image)
    collection = read_inputs(trained, inputs, options)
    examples = collection.examples
    if collection.unreadable:
        examples = examples.subset(np.setdiff1d(np.arange(len(examples)), list(collection.unreadable)))
    passes = {"encoder": 2 * len(examples), "decoder": (NUM_DRAWS + 1) * len(examples)}
    chosen = choose_engine(engine, run, trained.vae, passes, on_examples(examples.first))
    model = chosen.model
    batch = one_batch(examples.first(num_examples))
    shown, conditioned = batch.x, model.given(batch.context)
    expected = best_guess(model, conditioned.decode(conditioned.encode(shown).centre))
    if is_image:
        pair = [generation.to_images(shown), generation.to_images(expected)]
        captions = captions_of(collection.subset(np.arange(len(shown))))
        save_grid(path, np.concatenate(pair), columns=len(shown), captions=captions)
    else:
        write_rows(path, trained.written(expected), trained.schema)
    scores = score_examples(model, examples, "given" if inputs else "test", trained.convention, NUM_DRAWS)
    return Reconstructed(path, scores, collection.skipped, (*chosen.notes, *collection.notes), chosen.name)


@kept_memory()
def encode(
    run: RunPath,
    inputs: Sequence[str],
    options: InputOptions = STANDARD,
    out: Path | None = None,
    shards: Path | None = None,
    progress: ProgressCallback = lambda stage, done, total: None,
    engine: str = "auto",
) -> Encoded:
    """Each example's posterior (mean and log-variance; on a sphere, on a simplex and for codes the parameters of
    `summary_of`), its id and label, as .csv, .npz, .parquet or .json; or as a
    folder `shards` of Parquet files, which several ranks write together.

    Rows of a table that could not be read, where those are skipped, keep their place without numbers.
    """
    check_engine(engine)
    path = out or shards or in_run(run, "latents.csv")
    check_shards(out, shards) if shards is not None or distributed.is_launched() else check_output(path, inputs)
    trained = load(run)
    found = open_inputs(trained, inputs, options)
    chosen = choose_engine(engine, run, trained.vae, {"encoder": found.num_rows}, on_examples(partial(first_of, found)))
    if shards is not None:
        about = {"skips": options.skip_broken, **asked(engine)}
        job = job_of("encode", model=model_checksum(path_of(run)), data=found.identity, **about)
        results = partial(_encoded_range, chosen.model, found)
        written = write_shards(shards, found.num_rows, job, results, partial(progress, "encoding"))
        return Encoded(shards, written.skipped, (*chosen.notes, *written.notes), chosen.name)
    parts = list(parts_of(found))
    write_columns(path, joined([encoded_columns(chosen.model, part) for part in parts]))
    skipped, notes = skipped_and_notes(parts)
    return Encoded(path, skipped, (*chosen.notes, *notes), chosen.name)


def _encoded_range(model: VAE, found: InputParts, start: int, stop: int) -> Iterator[PartResult]:
    for part in parts_of(found, start, stop):
        yield PartResult(encoded_columns(model, part), part.collection.skipped, part.collection.notes)


@torch.no_grad()
def encoded_columns(model: VAE, part: Part) -> Columns:
    """The id, posterior and label of each example, and the label that a classifier predicts."""
    examples = part.examples
    posteriors = [model.given(batch.context).encode(batch.x) for batch in Batches(examples, BATCH_SIZE)]
    summaries = [summary_of(posterior) for posterior in posteriors]
    columns: dict[str, Any] = {"id": part.ids}
    for name in summaries[0]:
        columns[name] = torch.cat([summary[name] for summary in summaries]).numpy()
        columns[name][list(part.collection.unreadable)] = np.nan
    if examples.labels is not None:
        columns["label"] = labels_column(part.collection.label_names, np.asarray(examples.labels))
    if model.classifier is not None:
        columns |= predicted(examples, model)
        columns["probability"][list(part.collection.unreadable)] = np.nan
    return columns


@torch.no_grad()
def interpolate(
    run: RunPath,
    first: str = "",
    second: str = "",
    num_examples: int = 10,
    options: InputOptions = STANDARD,
    out: Path | None = None,
    *,
    from_label: str = "",
    to_label: str = "",
) -> Path:
    """The shortest path in z between two examples, decoded: images as one picture, others as rows of a file.

    An end is a file or the number of a test example, or the most typical test example of a label: the one whose code
    is nearest to the mean of its label's codes.
    """
    ends = _ends(first, second, from_label, to_label)
    if num_examples < 2:
        raise UsageError(f"a line from one example to another needs at least 2 points, got {num_examples}.")
    if options.data and not any(label or name.isdigit() for name, label in ends):
        raise UsageError("both ends are files, so the run's own data are not read; leave their path out.", hint="data")
    trained = load(run)
    model, is_image = trained.vae, trained.schema.layout == "image"
    path = out or in_run(run, "interpolation.png" if is_image else "interpolation.csv")
    check_output(path, [first, second], is_table=not is_image)
    found = [_typical(trained, label, options) if label else read_one(trained, name, options) for name, label in ends]
    batches = [one_batch(one.examples) for one in found]
    begin, end = (model.given(batch.context).encode(batch.x).centre[0] for batch in batches)
    z = model.space.path(begin, end, num_examples)
    # Of a conditional model, the first half has the condition of one end, the second that of the other.
    known = [batch.context for batch in batches if batch.context is not None and model.takes_context]
    context = torch.cat(known)[torch.arange(num_examples) * 2 // num_examples] if known else None
    expected = best_guess(model, model.given(context).decode(z))
    if is_image:
        captions = [*captions_of(found[0]), *[("",)] * (num_examples - 2), *captions_of(found[1])]
        return save_grid(path, generation.to_images(expected), columns=num_examples, captions=captions)
    return write_rows(path, trained.written(expected), trained.schema)


def _ends(first: str, second: str, from_label: str, to_label: str) -> list[tuple[str, str]]:
    """Name and label of both ends, of which one is empty; UsageError unless each end is given once."""
    names = [name for name in (first, second) if name]
    if len(names) + bool(from_label) + bool(to_label) != 2:
        raise UsageError(
            "a line needs two ends, each given once: a test example's number or a file, or a label.", hint="ends"
        )
    return [("", label) if label else (names.pop(0), "") for label in (from_label, to_label)]


def _typical(trained: TrainedModel, label: str, options: InputOptions) -> Collection:
    """The test example of a label whose code is nearest to the mean of the label's codes."""
    test = read_inputs(trained, [], options)
    if test.examples.labels is None or not test.label_names:
        raise UsageError("the run's test examples have no labels; give the numbers of two examples, or files.")
    if label not in test.label_names:
        raise UnknownName("label", label, test.label_names)
    chosen = np.flatnonzero(np.asarray(test.examples.labels) == test.label_names.index(label))
    if not chosen.size:
        raise UsageError(f"no test example has the label {label!r}; choose another.")
    examples = test.examples.subset(chosen)
    codes = torch.cat(
        [trained.vae.given(batch.context).encode(batch.x).centre for batch in Batches(examples, BATCH_SIZE)]
    )
    nearest = int((codes - codes.mean(0)).square().flatten(1).sum(1).argmin())
    return test.subset(chosen[[nearest]])


def evaluate(
    model: TrainedModel | VAE | RunPath,
    data: Any = None,
    config: EvaluationConfig | None = None,
    *,
    labels: Any = None,
    factors: Any = None,
    device: str = "auto",
) -> Results:
    """The full evaluation of a model or of a run's model, in nats, with standard errors: see Results.

    `data` is a source's name, the path of a file or folder, splits (`lb.load_data`), or examples in memory, with
    `labels` and `factors` as for `train`; by default the data of the model's run. For a trained model, files and
    examples are read by its schema, and all are test examples. Raises UnknownName or DataError for data that is
    missing, damaged, or does not fit.

    Examples:
        >>> images = lb.load_run("runs/dense").splits().test.values[:20]
        >>> results = lb.evaluate("runs/dense", images, config=lb.EvaluationConfig(num_exact=2, num_draws=2))
        >>> results.score("evidence-gap").unit
        'nats'
    """
    if not isinstance(model, TrainedModel | VAE):
        model = load(model)
    known = UNKNOWN
    if isinstance(model, TrainedModel):
        splits, vae = _splits_for(model, data, labels, factors), model.vae
        known = trained_with(run_of(model)) if data is None else UNKNOWN
    else:
        splits, vae = _splits_of(data, labels, factors), model
    if splits.test.event_shape != vae.event_shape:
        raise DataError(
            f"{splits.name}: the examples are {describe_shape(splits.test.event_shape)}, but the model takes "
            f"examples {describe_shape(vae.event_shape)}."
        )
    chosen = choose_device(device)
    settings = config or EvaluationConfig()
    return evaluate_full(vae.to(chosen), splits, settings, chosen, trained_with=known)


def _splits_of(data: Any, labels: Any, factors: Any) -> Splits:
    if isinstance(data, str | os.PathLike):
        return load_data(DataConfig(source=os.fspath(data)))
    return splits_in_memory(data, labels, factors=factors)


def _splits_for(model: TrainedModel, data: Any, labels: Any, factors: Any) -> Splits:
    """A run's own splits or, for other data, those with its test examples replaced."""
    if isinstance(data, Splits):
        return data
    if data is None:
        return own_splits(run_of(model))
    if isinstance(data, str | os.PathLike):
        collection = read_inputs(model, [os.fspath(data)])
    else:
        raw = read_object(data, labels, place="the data", factors=factors)
        assert not isinstance(raw, Splits)
        collection = model.collection(raw)
    if len(collection.examples) < 2:
        raise DataError("an evaluation needs at least 2 examples; give more.")
    return splits_for_evaluation(collection, model.schema)
