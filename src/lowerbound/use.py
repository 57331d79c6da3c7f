"""What one does with a trained model: sample, reconstruct, encode, interpolate, evaluate, compare; and its layers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from lowerbound.data.batches import Batches, scaled
from lowerbound.data.files import IMAGE_SUFFIXES, read_image_files, read_images
from lowerbound.data.sources import SOURCES, DataConfig, Examples, Splits, load
from lowerbound.errors import DataError, UsageError
from lowerbound.evaluation import pictures
from lowerbound.evaluation.comparison import Comparison
from lowerbound.evaluation.comparison import compare as compare_results
from lowerbound.evaluation.evaluate import BATCH_SIZE, EvaluationConfig, score_examples
from lowerbound.evaluation.results import Results, Score, read_results
from lowerbound.evaluation.whole import evaluate_wholly
from lowerbound.experiment import Settings, resolve
from lowerbound.model import VAE, build_model
from lowerbound.networks.layers import Layer, count_parameters
from lowerbound.reporting.comparison import comparison_figure
from lowerbound.reporting.theme import png
from lowerbound.reporting.tiles import compose, displayable, fitted
from lowerbound.run import choose_device, read_experiment
from lowerbound.seeding import generator
from lowerbound.storage import write_bytes, write_text
from lowerbound.training.checkpoint import load_model

TILE_SIZE = 56  # pixels
SIZE = re.compile(r"(\d+)[xX×](\d+)")


@dataclass(frozen=True)
class Summary:
    """A model's layers."""

    title: str
    encoder: list[Layer]
    decoder: list[Layer]
    num_parameters: int
    likelihood_note: str


def sample(run: Path, num_images: int, temperature: float = 1.0, seed: int = 0, out: Path | None = None) -> Path:
    """Decoded draws from the prior as one picture."""
    model = load_model(run)
    if model.is_deterministic:
        raise UsageError(f"{run} is a deterministic autoencoder; it has no prior to sample from.")
    images = pictures.prior_samples(model, num_images, generator(seed, "samples"), temperature)
    return _save_grid(out or run / "samples.png", images, columns=int(np.ceil(np.sqrt(num_images))))


def reconstruct(
    run: Path, inputs: Sequence[str], num_images: int = 16, data_dir: str = "", out: Path | None = None
) -> tuple[Path, list[Score]]:
    """Originals above their reconstructions as one picture, and how well all of `inputs` are reconstructed."""
    model = load_model(run)
    examples = _examples(run, model, inputs, data_dir)
    shown = scaled(examples.subset(np.arange(min(num_images, len(examples)))))
    with torch.no_grad():
        pair = [pictures.to_images(shown), pictures.to_images(model.reconstruct(shown))]
    path = _save_grid(out or run / "reconstructions.png", np.concatenate(pair), columns=len(shown))
    return path, score_examples(model, examples, "given" if inputs else "test")


@torch.no_grad()
def encode(run: Path, inputs: Sequence[str], data_dir: str = "", out: Path | None = None) -> Path:
    """Mean and log-variance of each image's posterior, and its label where there is one, as .csv or .npz."""
    path = out or run / "latents.csv"
    if path.suffix not in WRITERS:
        raise UsageError(f"{path} ends in {path.suffix or 'nothing'!r}; accepted: {', '.join(WRITERS)}.")
    model = load_model(run)
    examples = _examples(run, model, inputs, data_dir)
    posteriors = [model.encode(x) for x in Batches(examples, BATCH_SIZE)]
    columns = {"mean": torch.cat([posterior.mean for posterior in posteriors]).numpy()}
    if not model.is_deterministic:
        columns["log_variance"] = torch.cat([posterior.variance.log() for posterior in posteriors]).numpy()
    if examples.labels is not None:
        columns["label"] = examples.labels
    WRITERS[path.suffix](path, columns)
    return path


def interpolate(
    run: Path, first: str, second: str, num_images: int = 10, data_dir: str = "", out: Path | None = None
) -> Path:
    """The straight line in z between two images, decoded, as one picture."""
    model = load_model(run)
    ends = [_one_image(run, model, name, data_dir) for name in (first, second)]
    images = pictures.interpolation(model, scaled(ends[0])[0], scaled(ends[1])[0], num_images)
    return _save_grid(out or run / "interpolation.png", images, columns=num_images)


def evaluate(model: VAE, data: str | Splits, config: EvaluationConfig | None = None, device: str = "auto") -> Results:
    """All that is known how to measure of a model, in nats, with errors: see Results.

    `data` is a source's name, the path of a file or folder, or splits (`lb.load_data`). Raises UnknownName or DataError
    for data that are not there, are damaged, or have another shape than the model's.
    """
    splits = load(DataConfig(source=data)) if isinstance(data, str) else data
    if splits.test.event_shape != model.event_shape:
        raise DataError(
            f"{splits.name}: images are {_in_words(splits.test.event_shape)}, the model takes "
            f"{_in_words(model.event_shape)}."
        )
    chosen = choose_device(device)
    return evaluate_wholly(model.to(chosen), splits, config or EvaluationConfig(), chosen)


def compare(runs: Sequence[Path], out: Path | None = None) -> Comparison:
    """Runs set side by side, the first as the reference; with `out`, their differences are drawn there as well."""
    for run in runs:
        read_experiment(run)
    comparison = compare_results([(run.name, read_results(run)) for run in runs])
    if out is not None:
        write_bytes(out, png(comparison_figure(comparison)))
    return comparison


def summary(target: str, size: str = "28x28", channels: int = 1, settings: Settings | None = None) -> Summary:
    """The layers of a run's model, or of a recipe's for images of WIDTHxHEIGHT and a number of channels."""
    if (Path(target) / "config.toml").is_file():
        model = load_model(Path(target))
    else:
        match = SIZE.fullmatch(size)
        if match is None or not all(1 <= int(length) <= 4096 for length in match.groups()):
            raise UsageError(f"--size {size!r} is not WIDTHxHEIGHT in pixels, from 1 to 4096 each, such as 28x28.")
        width, height = int(match[1]), int(match[2])
        model = build_model(resolve(target, settings).model, (channels, height, width), generator(0, "summary"))
    encoder, decoder = model.layers()
    return Summary(_title(target, model), encoder, decoder, count_parameters(model), _likelihood_note(model))


def _title(target: str, model: VAE) -> str:
    channels, height, width = model.event_shape
    colours = "channel" if channels == 1 else "channels"
    latents = "latent" if model.latent_dim == 1 else "latents"
    return f"{target}: images {width} wide and {height} high with {channels} {colours}, {model.latent_dim} {latents}"


def _likelihood_note(model: VAE) -> str:
    own = count_parameters(model.likelihood)
    return f", of which {own} is the likelihood's own" if own else ""


def _examples(run: Path, model: VAE, inputs: Sequence[str], data_dir: str) -> Examples:
    """The run's test images, a source's test images, all images of a file or folder, or image files."""
    if not inputs:
        config = read_experiment(run)[1].data
        examples = load(replace(config, data_dir=data_dir or config.data_dir)).test
    elif len(inputs) == 1 and inputs[0] in SOURCES:
        examples = load(DataConfig(source=inputs[0], data_dir=data_dir)).test
    elif len(inputs) == 1 and Path(inputs[0]).suffix.lower() not in IMAGE_SUFFIXES:
        examples = read_images(Path(inputs[0])).examples
    else:
        examples = read_image_files([Path(name) for name in inputs])
    if examples.event_shape != model.event_shape:
        raise DataError(
            f"{', '.join(inputs)}: images are {_in_words(examples.event_shape)}, "
            f"the model was trained on {_in_words(model.event_shape)}."
        )
    return examples


def _one_image(run: Path, model: VAE, name: str, data_dir: str) -> Examples:
    if not name.isdigit():
        return _examples(run, model, [name], data_dir)
    test = _examples(run, model, [], data_dir)
    if int(name) >= len(test):
        raise UsageError(f"there is no test image {name}; they are numbered from 0 to {len(test) - 1}.")
    return test.subset(np.array([int(name)]))


def _in_words(event_shape: tuple[int, ...]) -> str:
    channels, height, width = event_shape
    return f"{width} wide and {height} high with {channels} channel{'s' if channels > 1 else ''}"


def _save_grid(path: Path, images: Float[np.ndarray, "n height width channel"], columns: int) -> Path:
    tiles = displayable(images)
    # Small images are enlarged, so that a picture of 8 x 8 digits can be seen; large ones stay as they are.
    picture = compose(fitted(tiles, max(TILE_SIZE, tiles.shape[2]), max(TILE_SIZE, tiles.shape[1])), columns, gap=2)
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())
    return path


def _write_npz(path: Path, columns: dict[str, np.ndarray]) -> None:
    buffer = BytesIO()
    np.savez(buffer, **columns)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _write_csv(path: Path, columns: dict[str, np.ndarray]) -> None:
    names, values = ["id"], [np.arange(len(columns["mean"]))]
    for name, array in columns.items():
        if array.ndim == 1:
            names, values = [*names, name], [*values, array]
        else:
            names += [f"{name}_{index + 1}" for index in range(array.shape[1])]
            values += list(array.T)
    rows = [",".join(names), *(",".join(str(cell) for cell in row) for row in zip(*values, strict=True))]
    write_text(path, "\n".join(rows) + "\n")


WRITERS = {".csv": _write_csv, ".npz": _write_npz}
