"""Frames of training: codes of some test examples and decoded images, kept at about twenty epochs.

Each is a file of its own in RUN/frames, written atomically at the end of its epoch, so that a run that was killed and
resumed has the same ones. Frames are for pictures alone: nothing of them is in a checkpoint, and they draw from
generators of their own.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from lowerbound.data.batches import Batches, one_batch
from lowerbound.data.examples import Examples
from lowerbound.evaluation import generation
from lowerbound.evaluation.figure_arrays import FIGURE_ARRAYS, manifold_axes, model_of_samples
from lowerbound.evaluation.metrics import Subject
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.run_identity import check_mark, mark_of
from lowerbound.foundation.strict import parsed
from lowerbound.foundation.tensor_files import load_tensors, save_tensors
from lowerbound.models.missing_labels import inferred_examples

FOLDER, FINAL = "frames", "final.safetensors"

NUM_FRAMES = 20
NUM_CODES = 500
MAX_CODE_NUMBERS = 32_768  # of all codes of a frame, which of very many latents are fewer
MAX_PIXELS = 320  # of the pictures of a frame together, in each direction
MAX_TILE = 64  # pixels of one picture in each direction; larger ones are shrunk
TILES = (4, 12)  # least and most pictures in a row

Kind = Literal["manifold", "samples", "reconstructions", "none"]
"""What the pictures are: a grid over the latent plane, samples from the prior at the same noise, or test examples."""


@dataclass(frozen=True, kw_only=True)
class FrameAbout:
    """What a file of a frame states beside its arrays."""

    epoch: int  # 0 before training
    is_kept: bool  # whether these are the weights that were kept in the end
    kind: Kind


@dataclass(frozen=True, eq=False)
class Frame:
    """A model at the end of an epoch."""

    about: FrameAbout
    codes: Float[np.ndarray, "n latent"]  # centres of the posteriors of test examples
    labels: Int64[np.ndarray, " n"] | None
    pictures: UInt8[np.ndarray, "tile height width channel"]  # row by row; none for data that are not images


def kept_epochs(num_epochs: int) -> set[int]:
    """The epochs with a frame, among them 0: close together at first, when most changes."""
    shares = (np.arange(NUM_FRAMES) / (NUM_FRAMES - 1)) ** 2
    return {0, *(1 + np.rint(shares * (num_epochs - 1)).astype(int)).tolist()}


def write_frame(run: Path, subject: Subject, epoch: int, is_kept: bool = False) -> None:
    """Write the frame of the model as it is after `epoch`, or of the weights that were kept in the end."""
    splits, was_training = subject.splits, subject.model.training
    subject = replace(subject, splits=replace(splits, test=inferred_examples(splits.test, subject.model)))
    subject.model.eval()
    try:
        frame = _frame(subject, FrameAbout(epoch=epoch, is_kept=is_kept, kind=_kind(subject)))
    finally:
        subject.model.train(was_training)
    tensors = {"codes": frame.codes, "pictures": frame.pictures}
    if frame.labels is not None:
        tensors["labels"] = frame.labels
    path = run / FOLDER / (FINAL if is_kept else f"epoch-{epoch:06d}.safetensors")
    arrays = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in tensors.items()}
    save_tensors(path, arrays, {"about": asdict(frame.about), **mark_of(run)})


def drop_frames_after(run: Path, epoch: int) -> None:
    """Remove the frames of later epochs, which training will write again, and that of the weights kept in the end."""
    for path in (run / FOLDER).glob("*.safetensors"):
        if path.name > f"epoch-{epoch:06d}.safetensors":  # "final" comes after every epoch
            path.unlink()


def read_frames(run: Path) -> tuple[Frame, ...]:
    """The frames of a run in the order of training, the kept weights last; empty if it has none.

    RunError for a file that is damaged or belongs to another run.
    """
    return tuple(_read(run, path) for path in sorted((run / FOLDER).glob("*.safetensors")))


def _read(run: Path, path: Path) -> Frame:
    tensors, stored = load_tensors(path)
    content = dict(stored)
    about = parsed(FrameAbout, content.pop("about", None), str(path))
    check_mark(run, f"{FOLDER}/{path.name}", content)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    _check_arrays(path, arrays)
    return Frame(about, arrays["codes"], arrays.get("labels"), arrays["pictures"])


def _check_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    kinds = {"codes": ("float32", 2), "labels": ("int64", 1), "pictures": ("uint8", 4)}
    wrong = {"codes", "pictures"} - set(arrays) | set(arrays) - set(kinds)
    wrong |= {name for name in set(arrays) & set(kinds) if (arrays[name].dtype.name, arrays[name].ndim) != kinds[name]}
    if wrong or len(arrays.get("labels", arrays["codes"])) != len(arrays["codes"]):
        raise RunError(f"{path} is damaged (its arrays are not those of a frame); restore it, or remove the folder.")


@torch.no_grad()
def _frame(subject: Subject, about: FrameAbout) -> Frame:
    test = subject.splits.test
    shown = test.subsample(min(NUM_CODES, max(1, MAX_CODE_NUMBERS // subject.model.latent_dim)))
    codes = torch.cat([subject.encode(batch).centre for batch in Batches(shown, NUM_CODES, subject.device)])
    labels = None if shown.labels is None else np.asarray(shown.labels, dtype=np.int64)
    return Frame(about, codes.float().cpu().numpy(), labels, _pictures(subject, about.kind))


def _kind(subject: Subject) -> Kind:
    if subject.splits.test.layout != "image":
        return "none"
    has_plane = subject.model.latent_dim == 2 and not FIGURE_ARRAYS["manifold"].applies(subject)
    if has_plane:
        return "manifold"
    return "reconstructions" if FIGURE_ARRAYS["samples"].applies(subject) else "samples"


def _pictures(subject: Subject, kind: Kind) -> UInt8[np.ndarray, "tile height width channel"]:
    if kind == "none":
        return np.zeros((0, 1, 1, 1), dtype=np.uint8)
    height, width = subject.splits.test.event_shape[1:]
    size = int(np.clip(MAX_PIXELS // min(MAX_TILE, max(height, width)), *TILES))
    if kind == "manifold":
        images = generation.manifold(subject.model, *manifold_axes(subject, size))
    elif kind == "samples":
        model = model_of_samples(subject, size * size)
        images = generation.prior_samples(model, size * size, subject.config.seed)
    else:
        images = _reconstructions(subject, subject.splits.test.head(size * size))
    return _small(images)


def _reconstructions(subject: Subject, examples: Examples) -> Float[np.ndarray, "n height width channel"]:
    batch = one_batch(examples).to(subject.device)
    return generation.to_images(subject.model.given(batch.context).reconstruct(batch.x))


def _small(images: Float[np.ndarray, "n height width channel"]) -> UInt8[np.ndarray, "n new_height new_width shown"]:
    """Bytes of at most MAX_TILE pixels in each direction; of channels that are not colours, the first."""
    shown: Tensor = torch.from_numpy(images if images.shape[-1] == 3 else images[..., :1]).movedim(-1, 1)
    height, width = shown.shape[-2:]
    zoom = min(1.0, MAX_TILE / max(height, width))
    if zoom < 1:
        shown = adaptive_avg_pool2d(shown, (max(1, round(zoom * height)), max(1, round(zoom * width))))
    levels: UInt8[np.ndarray, "n new_height new_width shown"] = (
        (255 * shown.clamp(0, 1)).round().byte().movedim(1, -1).numpy()
    )
    return levels
