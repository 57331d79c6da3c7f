"""Image files as rows: decoded when they are read, by several threads."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from lowerbound.data.folders import Listed
from lowerbound.data.images import ImageOptions, plan_images
from lowerbound.data.pixels import ImageFile
from lowerbound.data.raw_array import RawArray
from lowerbound.data.rows import Rows, coded


def listed_rows(listed: Listed, options: ImageOptions, workers: int) -> Rows:
    """The images of a folder or an archive."""
    rows = image_rows(listed.source, listed.entries, options, workers)
    has_labels = rows.labels is not None

    def with_notes(about: RawArray) -> RawArray:
        return replace(about, notes=listed.notes_after(about.notes, has_labels))

    of_read = rows.about_read
    assert of_read is not None
    return replace(rows, about=with_notes(rows.about), about_read=lambda read: with_notes(of_read(read)))


def image_rows(source: Path, entries: Sequence[ImageFile], options: ImageOptions, workers: int) -> Rows:
    """Image files in the order of their splits."""
    plan = plan_images(source, entries, options, workers)

    def fetch(numbers: Int64[np.ndarray, " image"], skip_broken: bool) -> RawArray:
        values = np.empty((len(numbers), *plan.shape), plan.depth.dtype)
        found, skipped = plan.decode(numbers, values, skip_broken)
        return replace(
            about, values=values[: len(found)], ids=plan.ids(found), numbers=found, skipped=tuple(skipped), notes=()
        )

    about = plan.about(np.arange(len(plan.headers)))
    labels = [entry.label for entry, _ in plan.headers]
    has_labels = any(label is not None for label in labels)
    return Rows(
        about=about,
        num_rows=len(plan.headers),
        fetch=fetch,
        labels=coded(labels) if has_labels else None,
        about_read=plan.about,
    )
