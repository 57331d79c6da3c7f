"""TrainedModel: a trained model with the schema of its data; inputs and outputs are in stored units and layout.

    model = lowerbound.load("runs/conv")
    q = model.encode(images)  # images as they are stored: N x H x W x C, 0..255
    model.reconstruct(images), model.generate(16), model.score(images)

`.vae` is the bare module, which takes N x C x H x W floats in [0, 1] and passes gradients.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.data.batches import Batches, context_of_all
from lowerbound.data.column_writers import Columns, drawn_columns, named_columns
from lowerbound.data.conditions import context_rows, resolved
from lowerbound.data.examples import Collection
from lowerbound.data.files import ReadingOptions, to_collection
from lowerbound.data.objects import read_object
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import format_shape
from lowerbound.data.sources import Splits
from lowerbound.data.tables import RawTable
from lowerbound.evaluation.anomaly_scores import Calibration, measure
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.generation import drawn_examples, expected_examples
from lowerbound.foundation import html_view
from lowerbound.foundation.arguments import named_arguments, named_methods
from lowerbound.foundation.errors import DataError, RunError, SchemaError, UsageError
from lowerbound.foundation.run_identity import RunPath, is_run, path_of
from lowerbound.foundation.schema import UNSCALED, Schema
from lowerbound.foundation.storage import check_is_no_dangling_link
from lowerbound.foundation.text import one_line, shortened
from lowerbound.models.missing_labels import log_probabilities, with_inferred_labels
from lowerbound.models.stored_units import StoredUnits, to_stored_units
from lowerbound.models.support import convention_of, supported_examples
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.prior import Temperature
from lowerbound.runs.importance_threshold import add_importance
from lowerbound.runs.run_data import read_stored
from lowerbound.training.checkpoint import load_with_schema, save_model
from lowerbound.training.pretrained_config import check_describes, check_is_ours, is_pretrained

CALIBRATION = "calibration.safetensors"
UNFINISHED = f"{CALIBRATION} is missing, as after training that was interrupted, or not followed by an evaluation"
BATCH_SIZE = 500
PLACE = "the array"


@named_methods
@named_arguments
@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A VAE with the schema of its data; that of a run also has thresholds for anomaly scores.

    Examples:
        >>> model = lb.load("runs/dense")
        >>> model.generate(3, seed=1).shape  # N × height × width × channel, in the units of the data
        (3, 8, 8, 1)
        >>> images = lb.load_run("runs/dense").splits().test.values[:3]
        >>> q = model.encode(images)  # q(z|x), a distribution
        >>> q.mean.shape
        torch.Size([3, 2])
        >>> p = model.decode(q.mean)  # p(x|z), a distribution of images
        >>> p.mean.shape
        torch.Size([3, 8, 8, 1])
    """

    vae: VAE
    schema: Schema
    path: Path | None = None  # of the run or the model file

    def __repr__(self) -> str:
        place = "" if self.path is None else f", {str(self.path)!r}"
        return f"TrainedModel({self.vae!r}{place})"

    def _repr_html_(self) -> str:
        stored = "×".join(map(str, self.schema.shape))
        low, high = self.schema.range
        scale = "" if self.schema.range == UNSCALED else f", stored as {low:g} to {high:g}"
        about = {
            "examples": f"{self.schema.layout} of shape {stored}{scale}",
            "columns": shortened(", ".join(column.name for column in self.schema.columns), 200),
            "path": "" if self.path is None else str(self.path),
        }
        return html_view.view(self.vae.kind, *self.vae.html_parts(about))

    @property
    def convention(self) -> str:
        """What log p(x|z) means for the run's data: "grey", "binary", "density", or how the data were binarised."""
        try:
            return convention_of(self.vae.likelihood, self.schema)
        except DataError as error:
            raise RunError(
                f"{self.path or 'the model'} is damaged (its schema does not match its likelihood: {error})"
            ) from error

    def calibration(self, *, importance: bool = False, data: str = "", data_dir: str = "") -> Calibration:
        """Anomaly scores of held-out examples, measured after training; UsageError for a run without them.

        The importance-weighted score is measured when it is first asked for, on the run's data (`add_importance`).
        """
        path = (self.path or Path()) / CALIBRATION
        if self.path is None or not path.is_file():
            reason = self._why_uncalibrated()
            raise UsageError(
                f"{self.path or 'this model'} has no thresholds for anomaly scores: {reason}.",
                hint="evaluate" if reason.startswith(UNFINISHED) else "",
                path=self.path or "",
            )
        found = Calibration.read(path)
        if importance and found.measured.negative_log_evidence is None:
            add_importance(path, found, self.vae, data=data, data_dir=data_dir)
            found = Calibration.read(path)
        return found

    def _why_uncalibrated(self) -> str:
        if self.vae.is_deterministic:
            return "it is a deterministic autoencoder"
        if self.path is None or not self.path.is_dir():
            return "a model file contains none; give the run's directory, or a folder that save_pretrained wrote"
        if not is_run(self.path):
            return "none were saved with it"
        has_held_out = read_stored(self.path).experiment.data.monitored_split != "test"
        return (
            f"{UNFINISHED}; evaluate the run, which measures them" if has_held_out else "training held out no examples"
        )

    def collection(
        self, raw: RawArray | RawTable, skip_broken: bool = False, given: Mapping[str, Any] | None = None
    ) -> Collection:
        """Stored numbers or cells as examples of this model; DataError for what does not fit, with its place.

        `given` has values of conditions, in place of labels or columns.
        """
        options = ReadingOptions(schema=self.schema, skip_broken=skip_broken, given=given or {})
        return self.supported(to_collection(raw, options), skip_broken)

    def supported(self, collection: Collection, skip_broken: bool = False) -> Collection:
        """The examples that the likelihood can score (see `lowerbound.models.support`), with labels that a classifier
        infers where they are missing.
        """
        found = supported_examples(collection, self.vae.likelihood, self.schema, skip_broken)
        return with_inferred_labels(found, self.vae)

    def examples(self, x: Any, given: Mapping[str, Any] | None = None) -> Collection:
        """Python data in the run's layout, one example or N, as a Collection.

        Images are H×W, N×H×W, H×W×C or N×H×W×C, or with channels first where that is unambiguous; rows of a table are
        a DataFrame or a mapping of columns. PIL images are resized and converted like image files. DataError for
        anything else. A conditional model needs `given`: by the name of a condition, such as "label", one value for
        all examples, or a sequence with one for each; columns of a table are found in the table.
        """
        is_table = isinstance(x, Mapping) or hasattr(x, "columns")
        raw = read_object(x, place="the table" if is_table else PLACE)
        if not isinstance(raw, RawArray | RawTable):
            raise SchemaError("expected examples, got splits; pass one of the splits, such as splits.test.")
        if isinstance(raw, RawArray) and not (raw.is_from_images and self.schema.layout == "image"):
            raw = self._laid_out(raw)
        return self.collection(raw, given=given)

    @torch.no_grad()
    def encode(self, x: Any, *, given: Mapping[str, Any] | None = None) -> Distribution:
        """The posterior q(z|x) of examples in stored units, without gradients; q(z|x, y) of a conditional model, whose
        y is `given` (see `examples`).
        """
        distribution: Distribution = self.vae.posterior(self._raw_posterior(self.examples(x, given)))
        return distribution.detach()  # what is computed from it later has no gradients either

    @torch.no_grad()
    def decode(self, z: Any, *, given: Mapping[str, Any] | None = None) -> StoredUnits:
        """The likelihood p(x|z) of N×latent codes, with values in stored units and layout, without gradients; p(x|z, y)
        of a conditional model.
        """
        codes = self._codes(z)
        return StoredUnits(self.given(given, len(codes)).decode(codes), self.schema)

    @torch.no_grad()
    def reconstruct(self, x: Any, *, given: Mapping[str, Any] | None = None) -> Any:
        """The expected example at the posterior's centre, in stored units: an array, or columns by name."""
        collection = self.examples(x, given)
        centre = self.vae.posterior(self._raw_posterior(collection)).centre
        return self.written(self._guess(self.vae.given(context_of_all(collection.examples)), centre))

    @torch.no_grad()
    def generate(
        self, num: int = 1, *, seed: int = 0, temperature: Temperature = 1.0, given: Mapping[str, Any] | None = None
    ) -> Any:
        """New examples in stored units: decoded means for images, draws from p(x|z) for other data.

        They are those of the command `sample` with this seed, and the first ones do not depend on `num`. A conditional
        model generates them for the values `given`; by default, the levels of a single condition in turn. A model with
        levels of latents also takes a temperature for each, from the level nearest x.
        """
        if not self.vae.has_prior:
            raise UsageError("a deterministic autoencoder has no prior to generate from; fit_prior fits one.")
        if isinstance(num, bool) or not isinstance(num, int | np.integer) or num < 1:
            raise UsageError(f"num is {num!r}; it needs a whole number of at least 1.")
        if not all(0 <= number < math.inf for number in np.atleast_1d(temperature)):
            raise UsageError(f"temperature is {temperature!r}; it needs a finite number of at least 0.")
        model = self.given(given or self.levels_in_turn(int(num)), int(num))
        if self.schema.layout == "image":
            return self.written(expected_examples(model, int(num), seed, temperature))
        return self.drawn(drawn_examples(model, int(num), seed, temperature))

    def given(self, given: Mapping[str, Any] | None, num: int) -> VAE:
        """The model for `num` examples with these values of its conditions; UsageError or SchemaError if they do not
        fit, and for values that an unconditional model is given.
        """
        if not self.schema.conditions and not given:
            return self.vae
        if not self.schema.conditions:
            resolved(self.schema, given or {})
        return self.vae.given(torch.from_numpy(context_rows(self.schema, given or {}, num)))

    def levels_in_turn(self, num: int) -> dict[str, Any]:
        """The levels of the condition in turn, for `num` examples; empty unless there is a single one, with levels."""
        conditions = self.schema.conditions
        if len(conditions) != 1 or not conditions[0].levels:
            return {}
        levels = conditions[0].levels
        return {conditions[0].name: [levels[index % len(levels)] for index in range(num)]}

    def score(self, x: Any, *, by: str = "", given: Mapping[str, Any] | None = None) -> Float[np.ndarray, " n"]:
        """The anomaly score of each example, in nats, higher is more anomalous; NaN for a row without a known cell.

        `by` is a name in `evaluation.anomaly_scores.SCORES`; without one the kind of data decides.
        """
        calibration = self.calibration(importance=by == "importance")
        found = measure(self.vae, self.examples(x, given).examples, importance=by == "importance")
        judged = calibration.judge(found, by)
        return judged.scores[judged.by]

    def classify(self, x: Any) -> Float[np.ndarray, "n level"]:
        """q(y|x): the probability of each level of the condition (`schema.conditions[0].levels`) by the classifier."""
        if self.vae.classifier is None:
            raise UsageError("the model has no classifier; one is trained with model.classifier=true.")
        probabilities: np.ndarray = np.exp(log_probabilities(self.examples(x).examples, self.vae))
        return probabilities

    def _raw_posterior(self, collection: Collection) -> Tensor:
        if self.vae.takes_context and self.vae.encoding is None:
            raise UsageError(
                "the model is conditional: its networks need the labels or covariates of each example; use "
                "model.vae.given(context), which takes examples on the model's scale."
            )
        return torch.cat(
            [self.vae.given(batch.context).raw_posterior(batch.x) for batch in Batches(collection.examples, BATCH_SIZE)]
        )

    def _codes(self, z: Any) -> Float[Tensor, "n latent"]:
        try:
            codes = torch.as_tensor(z).detach().to(next(self.vae.parameters(), torch.zeros(())))
        except (TypeError, ValueError, RuntimeError) as error:
            raise SchemaError(
                f"expected codes N×{self.vae.latent_dim}, an array, tensor or nested list of numbers, got "
                f"{one_line(repr(z), 100)}."
            ) from error
        codes = codes[None] if codes.ndim == 1 else codes
        if codes.ndim != 2 or codes.shape[1] != self.vae.latent_dim:
            raise SchemaError(f"expected codes N×{self.vae.latent_dim}, got {format_shape(codes.shape)}.")
        if not codes.isfinite().all():
            raise SchemaError("codes contain NaN or infinity; accepted: finite numbers.")
        self.vae.check_codes(codes)
        return codes

    def _guess(self, model: VAE, z: Float[Tensor, "n latent"]) -> Float[Tensor, "n *event"]:
        rows = torch.arange(len(z)).split(BATCH_SIZE)
        return torch.cat([best_guess(model, model.at_rows(part).decode(z[part])) for part in rows])

    def written(self, x: Float[Tensor, "n *event"]) -> np.ndarray | Columns:
        """Examples as the model sees them, converted to stored units and layout: an array, or columns by name."""
        if self.schema.has_named_columns:
            return named_columns(x.cpu().numpy(), self.schema.columns)
        stored: np.ndarray = to_stored_units(x, self.schema).cpu().numpy()
        return stored

    def drawn(self, x: Float[Tensor, "n *event"]) -> np.ndarray | Columns:
        """Draws from p(x|z), in stored units; table cells are rounded to the decimals of the training table."""
        if self.schema.has_named_columns:
            return drawn_columns(x.cpu().numpy(), self.schema.columns)
        return self.written(x)

    def _laid_out(self, raw: RawArray) -> RawArray:
        """The array as N examples in the stored layout; SchemaError if its shape is ambiguous or wrong."""
        if self.schema.has_named_columns:
            names = ", ".join(repr(column.name) for column in self.schema.columns[:8])
            raise SchemaError(
                f"expected a DataFrame or a mapping with the columns {names}, got an array "
                f"{format_shape(raw.values.shape)}."
            )
        for accepted, as_stored in _layouts(self.schema):
            if raw.values.shape[1:] == accepted and len(raw.values):
                return replace(raw, values=as_stored(raw.values))
            if raw.values.shape == accepted:
                return replace(raw, values=as_stored(raw.values[None]))
        raise SchemaError(f"expected {_accepted_shapes(self.schema)}, got {format_shape(raw.values.shape)}.")


def load(run: RunPath, encoder: nn.Module | None = None, decoder: nn.Module | None = None) -> TrainedModel:
    """The trained model of a run directory, or of what `save` or `save_pretrained` wrote; RunError if it is missing or
    damaged.

    Your own networks must be given again, with any weights, which are replaced by those in the file.

    Examples:
        >>> lb.load("runs/dense")
        TrainedModel(VAE of examples of shape 1×8×8 with 2 latents: ...)
    """
    path = path_of(run)
    if has_config := is_pretrained(path):
        check_is_ours(path)
    vae, schema = load_with_schema(path, encoder, decoder)
    if schema is None:
        raise RunError(f"{path} contains a model without the schema of its data; train it again with lowerbound.train.")
    if has_config:
        check_describes(path, vae, schema)
    return TrainedModel(vae, schema, path)


def save(model: VAE | TrainedModel, path: str | Path, splits: Splits | None = None) -> Path:
    """Write a model, with the schema of its data, to a .safetensors file, which `load` reads; never a pickle.

    A VAE needs the `splits` that it was trained on; they decide the schema and are not stored. Parts are stored by name
    and options, with their weights. Your own networks are stored as weights and the names of their classes: `load`
    takes the modules again. UsageError or RunError, before anything is written, for a path of another kind and for a
    model that the file could not describe.
    """
    file = path_of(path)
    _check_is_model_file(file)
    if not isinstance(model, VAE | TrainedModel):
        raise UsageError(
            f"save takes a VAE or a TrainedModel, got {shortened(repr(model), 100)}; a run is copied by run.save(path)."
        )
    if splits is not None and not isinstance(splits, Splits):
        raise UsageError(f"save takes splits, such as those of load_data, got {shortened(repr(splits), 100)}.")
    vae = model if isinstance(model, VAE) else model.vae
    schema = splits.schema if splits is not None else model.schema if isinstance(model, TrainedModel) else None
    if schema is None:
        raise UsageError(
            "a model is saved with the schema of its data; give the splits that it was trained on: "
            "save(model, path, splits)."
        )
    if splits is not None and splits.train.event_shape != vae.event_shape:
        raise DataError(
            f"{splits.name}: examples are {format_shape(splits.train.event_shape)}, the model takes "
            f"{format_shape(vae.event_shape)}."
        )
    save_model(file, vae, schema, {} if splits is None else {"data_checksum": splits.checksum})
    return file


def _check_is_model_file(file: Path) -> None:
    """UsageError for a path that is not a .safetensors file, or belongs to a run."""
    if file.suffix != ".safetensors" or file.is_dir():
        raise UsageError(f"{file} is not the name of a .safetensors file, such as model.safetensors.")
    if is_run(file.parent):
        raise UsageError(f"{file.parent} is a run, whose files belong together; choose another folder.")
    check_is_no_dangling_link(file)


def _layouts(schema: Schema) -> list[tuple[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]]:
    """Unambiguous shapes of one example, each with the function that converts N of them to the stored layout."""
    shape = schema.shape
    accepted: list[tuple[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]] = [(shape, lambda values: values)]
    if schema.layout != "image":
        return accepted
    height, width, channels = shape
    if channels == 1:
        accepted.append(((height, width), lambda values: values[..., np.newaxis]))
    if (channels, height, width) != shape:
        accepted.append(((channels, height, width), lambda values: np.moveaxis(values, 1, -1)))
    return accepted


def _accepted_shapes(schema: Schema) -> str:
    shapes = [f"N×{format_shape(shape)}" for shape, _ in _layouts(schema)]
    return f"{' or '.join(shapes)}, or one such example"
