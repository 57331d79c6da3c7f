"""Minibatches in a deterministic, resumable order; mean and standard deviation of a split.

Images stay in their stored type (such as uint8) on the training device, and are gathered and scaled to [0, 1] one batch
at a time. The order of an epoch depends only on the seed and the epoch's number, so resuming needs only a position in
it. One of several ranks takes its rows of every batch; order and draws are those of a single process.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lowerbound.data.examples import Examples
from lowerbound.data.packed_batches import blocks_in_order, shuffled_blocks
from lowerbound.data.packed_rows import PackedLabels, PackedRows, PackedValues, Statistics
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.shares import WHOLE, Rows, Share

Content = tuple[Tensor, Tensor | None]
"""Stored values and labels of a batch."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples as a model sees them and, if the data have any, the context of each: labels or covariates."""

    x: Float[Tensor, "batch *event"]  # images as N x C x H x W floats in [0, 1]
    context: Shaped[Tensor, "batch *covariate"] | None = None  # labels, or covariates
    rows: Rows | None = None  # which these are of a batch that several ranks share; None for a whole batch
    labelled: "Batch | None" = None  # more examples, with labels, that train a classifier alone

    def empty_like(self) -> "Batch":
        """Memory for a batch of these shapes."""
        return Batch(torch.empty_like(self.x), None if self.context is None else torch.empty_like(self.context))

    def copy_from(self, other: "Batch") -> None:
        """Take the values of a batch of the same shapes."""
        self.x.copy_(other.x)
        if self.context is not None and other.context is not None:
            self.context.copy_(other.context)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Batch":
        """On a device; `dtype` is that of the examples."""
        x = self.x.to(device, dtype)
        labelled = None if self.labelled is None else self.labelled.to(device, dtype)
        return Batch(x, None if self.context is None else self.context.to(device), self.rows, labelled)

    def split(self, size: int) -> list["Batch"]:
        """Batches of at most `size` examples."""
        if self.context is None:
            return [Batch(x) for x in self.x.split(size)]
        return [Batch(*parts) for parts in zip(self.x.split(size), self.context.split(size), strict=True)]


class Batches:
    """The minibatches of one split, or the rows of each that are one rank's share."""

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        device: torch.device | str = "cpu",
        share: Share = WHOLE,
        num_labelled: int = 0,
    ) -> None:
        """`num_labelled` is the number of labelled examples that come with each batch of `shuffled`."""
        self.is_image, self.device = examples.layout == "image", torch.device(device)
        self.min_value, self.max_value = examples.range
        self.is_redrawn = examples.is_redrawn
        self.batch_size, self.num_examples = batch_size, len(examples)  # of the whole batch; of all batches
        self.share = share
        if isinstance(examples.stored, PackedValues):
            self.packed: PackedRows | None = examples.stored.rows
        else:
            self.packed = None
            self.values, self.context = self._tensors(examples.stored, examples.given)
        self.num_labelled = num_labelled
        if num_labelled:
            self.labelled_places = torch.from_numpy(examples.known_places).to(self.device)

    def __len__(self) -> int:
        return math.ceil(self.num_examples / self.batch_size)

    @property
    def examples(self) -> "Iterable[Float[Tensor, 'batch *event']]":
        """Only the examples of the batches; can be iterated several times."""
        return _Examples(self)

    def shuffled(self, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from index `start`; the last may be short."""
        for batch, content in enumerate(self._shuffled(seed, epoch, start), start):
            place = f"{epoch}/{batch}"
            found = self._batch(content, batch, seed, place)
            yield replace(found, labelled=self._labelled(seed, place)) if self.num_labelled else found

    def __iter__(self) -> Iterator[Batch]:
        """Every image once, in the split's own order."""
        for batch, content in enumerate(self._in_order()):
            yield self._batch(content, batch, 0, f"in order/{batch}")

    def _shuffled(self, seed: int, epoch: int, start: int) -> Iterator[Content]:
        if self.packed is not None:
            blocks = shuffled_blocks(self.packed, self.batch_size, seed, epoch, start, self.share)
            yield from (self._owned(*block) for block in blocks)
            return
        order = torch.randperm(self.num_examples, generator=generator(seed, f"order/{epoch}")).to(self.device)
        for batch in range(start, len(self)):
            yield self._chosen(order[self._places(batch)])

    def _in_order(self) -> Iterator[Content]:
        if self.packed is not None:
            blocks = blocks_in_order(self.packed, self.batch_size, self.share)
            yield from (self._owned(*block) for block in blocks)
            return
        for batch in range(max(1, len(self))):  # one empty batch if there are no examples
            yield self._chosen(self._places(batch))

    def _labelled(self, seed: int, place: str) -> Batch:
        """Labelled examples, drawn without replacement by a stream for each batch, in their own binarisation."""
        chance = generator(seed, f"labelled/{place}")
        chosen = torch.randperm(len(self.labelled_places), generator=chance)[: self.num_labelled]
        values, context = self._chosen(self.labelled_places[chosen.to(self.device)])
        return Batch(self._scaled(values, WHOLE.rows(len(values)), seed, f"labelled/{place}"), context)

    def _rows(self, batch: int) -> Rows:
        return self.share.rows(max(0, min(self.batch_size, self.num_examples - batch * self.batch_size)))

    def _places(self, batch: int) -> slice:
        first, rows = batch * self.batch_size, self._rows(batch)
        return slice(first + rows.start, first + rows.stop)

    def _chosen(self, chosen: Tensor | slice) -> Content:
        return self.values[chosen], None if self.context is None else self.context[chosen]

    def _tensors(self, values: np.ndarray, labels: np.ndarray | PackedLabels | None) -> Content:
        """A copy on the device, of images with the channels first."""
        values = values.transpose(0, 3, 1, 2) if self.is_image else values
        context = None if labels is None else torch.tensor(_forwards(np.asarray(labels)), device=self.device)
        return torch.tensor(_forwards(values), device=self.device), context

    def _owned(self, values: np.ndarray, labels: np.ndarray | None) -> Content:
        """The same of a block that nothing else uses, without a copy where none is needed."""
        if self.is_image or not values.flags.writeable:
            return self._tensors(values, labels)
        context = None if labels is None else torch.tensor(labels, device=self.device)
        return torch.from_numpy(values).to(self.device), context

    def _batch(self, content: Content, batch: int, seed: int, place: str) -> Batch:
        values, context = content
        rows = self._rows(batch)
        return Batch(self._scaled(values, rows, seed, place), context, None if self.share.is_whole else rows)

    def _scaled(self, images: Tensor, rows: Rows, seed: int, place: str) -> Float[Tensor, "batch *event"]:
        # A copy, even of floats: dividing in place must not change the data.
        x = images.to(torch.float32, copy=True)
        if self.min_value:
            x.sub_(self.min_value)
        x.div_(self.max_value - self.min_value)
        if not self.is_redrawn:
            return x
        # A stream for each batch, so that resuming needs only the position in an epoch.
        bits = generator(seed, f"binarisation/{place}", x.device)
        if self.share.is_whole:
            return torch.bernoulli(x, generator=bits)
        whole = x.new_zeros((rows.size, *x.shape[1:]))
        whole[rows.slice] = x
        return torch.bernoulli(whole, generator=bits)[rows.slice]


class _Examples:
    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Float[Tensor, "batch *event"]]:
        return (batch.x for batch in self.batches)


def mean_of(examples: Examples) -> Float[Tensor, " *event"]:
    """Mean of a split's examples, as the model sees them; missing cells are skipped."""
    if (known := _known_statistics(examples)) is not None:
        return _as_event(examples, known.mean - examples.min_value)
    mean = np.asarray(np.nanmean(examples.values, axis=0, dtype=np.float64))
    return _as_event(examples, mean - examples.min_value)


def deviation_of(examples: Examples) -> Float[Tensor, " *event"]:
    """Standard deviation of each element over a split's examples; missing cells are skipped."""
    if (known := _known_statistics(examples)) is not None:
        return _as_event(examples, known.deviation)
    return _as_event(examples, np.asarray(np.nanstd(examples.values, axis=0, dtype=np.float64)))


def _known_statistics(examples: Examples) -> Statistics | None:
    return examples.stored.statistics if isinstance(examples.stored, PackedValues) else None


def context_of_all(examples: Examples, device: torch.device | str = "cpu") -> Shaped[Tensor, "n *covariate"] | None:
    """The context of all examples, or their labels; None if they have neither."""
    return None if examples.given is None else torch.tensor(np.asarray(examples.given), device=device)


def one_batch(examples: Examples) -> Batch:
    """A small set of examples as one batch."""
    return next(iter(Batches(examples, batch_size=max(1, len(examples)))))


def _forwards(values: np.ndarray) -> np.ndarray:
    """The values, copied if an axis runs backwards, as in x[::-1], which torch does not accept."""
    return values.copy() if any(stride < 0 for stride in values.strides) else values


def scaled(examples: Examples) -> Float[Tensor, "n *event"]:
    """Only the examples of `one_batch`, as floats."""
    return one_batch(examples).x


def _as_event(examples: Examples, values: np.ndarray) -> Float[Tensor, " *event"]:
    event = torch.from_numpy(values / (examples.max_value - examples.min_value)).float()
    return event.permute(2, 0, 1) if examples.layout == "image" else event
