"""Tasks of a trained model: sample, reconstruct, encode, interpolate, evaluate."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from lowerbound.data.batches import Batches, scaled
from lowerbound.data.column_writers import (
    WRITERS,
    Columns,
    check_output,
    check_suffix,
    csv_form,
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
from lowerbound.foundation.errors import DataError, UnknownName, UsageError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.foundation.schema import Schema
from lowerbound.foundation.storage import check_is_no_dangling_link, folder_atomically, write_bytes
from lowerbound.inference.input_parts import InputParts, joined, open_inputs, parts_of, skipped_and_notes
from lowerbound.inference.shards import PartResult, check_shards, job_of, write_shards
from lowerbound.models.vae import VAE
from lowerbound.probability.summaries import summary_of
from lowerbound.reporting.tiles import as_png, compose, displayable, fit_tiles
from lowerbound.runs.inputs import STANDARD, InputOptions, captions_of, read_inputs, read_one, run_of
from lowerbound.runs.packed_inputs import Part
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run_data import own_splits, splits_in_memory, trained_with
from lowerbound.runs.trained_model import TrainedModel, load
from lowerbound.training.checkpoint import model_checksum

TILE_SIZE, GAP = 64, 2  # pixels
MAX_SAMPLES = 10_000  # in one picture


@dataclass(frozen=True)
class Encoded:
    """A file of posteriors, with what was skipped and how the examples were converted."""

    path: Path
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reconstructed:
    """A file of reconstructions, with scores of all examples, and what was skipped."""

    path: Path
    scores: list[Score]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def sample(
    run: RunPath,
    num_examples: int,
    temperature: float = 1.0,
    seed: int = 0,
    out: Path | None = None,
    folder: Path | None = None,
    num_columns: int = 0,
) -> Path:
    """Draws from the model: decoded means of images as one picture, or each as a file of `folder`; rows as a table.

    The picture has `num_columns` columns; with 0 it is about square. UsageError for outputs that exclude one another,
    and for a folder or a grid of anything but images.
    """
    if folder is not None and (out is not None or num_columns):
        raise UsageError("a folder gets one file for each image, instead of one picture; leave one of both out.")
    place, trained = path_of(run), load(run)
    model = trained.vae
    if not model.has_prior:
        raise UsageError(
            f"{place} is a deterministic autoencoder; it has no prior to sample from.", hint="fit-prior", path=place
        )
    if trained.schema.layout != "image":
        if folder is not None or num_columns:
            kind = "rows of a table" if trained.schema.layout == "table" else "arrays"
            wanted = "a picture" if folder is None else "a folder of pictures"
            raise UsageError(
                f"{place} samples {kind}, which are written to one file ({', '.join(WRITERS)}), not to {wanted}.",
                hint="out",
            )
        path = out or _in_run(run, "samples.csv")
        check_suffix(path)
        return _write_rows(path, trained.generate(num_examples, seed=seed, temperature=temperature), trained.schema)
    if folder is None:
        check_output(out or _in_run(run, "samples.png"), [], is_table=False)
    images = generation.prior_samples(model, num_examples, seed, temperature)
    if folder is not None:
        return _save_each(folder, images)
    return _save_grid(out or _in_run(run, "samples.png"), images, num_columns or int(np.ceil(np.sqrt(num_examples))))


def read_grid(text: str) -> tuple[int, int]:
    """Columns and rows of a picture from COLUMNSxROWS; UsageError for anything else, or too many images."""
    grid = read_size(text)
    if grid is None or grid[0] * grid[1] > MAX_SAMPLES:
        raise UsageError(
            f"grid {text!r} is not COLUMNSxROWS of at most {MAX_SAMPLES:,} images, such as 8x4.", hint="grid"
        )
    return grid


@torch.no_grad()
def reconstruct(
    run: RunPath,
    inputs: Sequence[str],
    num_examples: int = 16,
    options: InputOptions = STANDARD,
    out: Path | None = None,
) -> Reconstructed:
    """Scores of the reconstructions of all `inputs`, and the first of them: images above their reconstructions as one
    picture, other examples as rows of a .csv, .npz, .parquet or .json file with the expected values."""
    trained = load(run)
    model, is_image = trained.vae, trained.schema.layout == "image"
    path = out or _in_run(run, "reconstructions.png" if is_image else "reconstructions.csv")
    check_output(path, inputs, is_table=not is_image)
    collection = read_inputs(trained, inputs, options)
    examples = collection.examples
    if collection.unreadable:
        examples = examples.subset(np.setdiff1d(np.arange(len(examples)), list(collection.unreadable)))
    shown = scaled(examples.subset(np.arange(min(num_examples, len(examples)))))
    expected = best_guess(model, model.decode(model.encode(shown).centre))
    if is_image:
        pair = [generation.to_images(shown), generation.to_images(expected)]
        captions = captions_of(collection.subset(np.arange(len(shown))))
        _save_grid(path, np.concatenate(pair), columns=len(shown), captions=captions)
    else:
        _write_rows(path, trained.written(expected), trained.schema)
    scores = score_examples(model, examples, "given" if inputs else "test", trained.convention)
    return Reconstructed(path, scores, collection.skipped, collection.notes)


def encode(
    run: RunPath,
    inputs: Sequence[str],
    options: InputOptions = STANDARD,
    out: Path | None = None,
    shards: Path | None = None,
    progress: ProgressCallback = lambda stage, done, total: None,
) -> Encoded:
    """Each example's posterior (mean and log-variance; on a sphere, on a simplex and for codes the parameters of
    `summary_of`), its id and label, as .csv, .npz, .parquet or .json; or as a
    folder `shards` of Parquet files, which several ranks write together.

    Rows of a table that could not be read, where those are skipped, keep their place without numbers.
    """
    path = out or shards or _in_run(run, "latents.csv")
    check_shards(out, shards) if shards is not None or distributed.is_launched() else check_output(path, inputs)
    trained = load(run)
    found = open_inputs(trained, inputs, options)
    if shards is not None:
        job = job_of("encode", model=model_checksum(path_of(run)), data=found.identity, skips=options.skip_broken)
        results = partial(_encoded_range, trained, found)
        written = write_shards(shards, found.num_rows, job, results, partial(progress, "encoding"))
        return Encoded(shards, written.skipped, written.notes)
    parts = list(parts_of(found))
    write_columns(path, joined([encoded_columns(trained.vae, part) for part in parts]))
    return Encoded(path, *skipped_and_notes(parts))


def _encoded_range(trained: TrainedModel, found: InputParts, start: int, stop: int) -> Iterator[PartResult]:
    for part in parts_of(found, start, stop):
        yield PartResult(encoded_columns(trained.vae, part), part.collection.skipped, part.collection.notes)


@torch.no_grad()
def encoded_columns(model: VAE, part: Part) -> Columns:
    """The id, posterior and label of each example."""
    examples = part.examples
    posteriors = [model.given(batch.context).encode(batch.x) for batch in Batches(examples, BATCH_SIZE)]
    summaries = [summary_of(posterior) for posterior in posteriors]
    columns: dict[str, Any] = {"id": part.ids}
    for name in summaries[0]:
        columns[name] = torch.cat([summary[name] for summary in summaries]).numpy()
        columns[name][list(part.collection.unreadable)] = np.nan
    if examples.labels is not None:
        columns["label"] = labels_column(part.collection.label_names, np.asarray(examples.labels))
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
    path = out or _in_run(run, "interpolation.png" if is_image else "interpolation.csv")
    check_output(path, [first, second], is_table=not is_image)
    found = [_typical(trained, label, options) if label else read_one(trained, name, options) for name, label in ends]
    begin, end = (scaled(one.examples)[0] for one in found)
    expected = best_guess(model, model.decode(generation.path_between(model, begin, end, num_examples)))
    if is_image:
        captions = [*captions_of(found[0]), *[("",)] * (num_examples - 2), *captions_of(found[1])]
        return _save_grid(path, generation.to_images(expected), columns=num_examples, captions=captions)
    return _write_rows(path, trained.written(expected), trained.schema)


def _in_run(run: RunPath, name: str) -> Path:
    """The default output; UsageError for a model file, which has no directory for it."""
    place = path_of(run)
    if place.is_file():
        raise UsageError(f"{place} is a model file, without a directory for results; name the output.", hint="out")
    return place / name


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


def _write_rows(path: Path, values: np.ndarray | Columns, schema: Schema) -> Path:
    """Examples in stored units: a table's columns by their names, written as in its CSV, all others in one."""
    if isinstance(values, Mapping):
        write_columns(path, values, csv_form(schema))
    else:
        write_columns(path, {"x": values.reshape(len(values), -1)})
    return path


def _save_each(folder: Path, images: Float[np.ndarray, "n height width channel"]) -> Path:
    """Every image as a PNG of its own size, numbered."""
    check_is_no_dangling_link(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; choose another folder.", hint="folder")
    digits = len(str(len(images) - 1))
    with folder_atomically(folder) as temporary:
        for index, tile in enumerate(displayable(images)):
            (temporary / f"{index:0{digits}d}.png").write_bytes(as_png(tile))
    return folder


def _save_grid(
    path: Path,
    images: Float[np.ndarray, "n height width channel"],
    columns: int,
    captions: Sequence[Sequence[str]] = (),
) -> Path:
    """Images as one picture, with a caption below each column."""
    tiles = displayable(images)
    # Small images are enlarged, so that 8 x 8 digits and captions are legible; large ones are not resized.
    tiles = fit_tiles(tiles, max(TILE_SIZE, tiles.shape[2]), max(TILE_SIZE, tiles.shape[1]))
    picture = compose(tiles, columns, gap=GAP)
    if captions:
        from lowerbound.reporting.captions import with_captions  # it imports matplotlib

        picture = with_captions(picture, captions, tiles.shape[2] + GAP)
    write_bytes(path, as_png(picture))
    return path
