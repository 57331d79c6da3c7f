"""survey(): what must be known of rows before any is written: their schema, which of them fit it, and their labels."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int64

from lowerbound.data.array_examples import conversion_notes, encode_labels, fitting, refuse_all
from lowerbound.data.array_schema import infer_schema
from lowerbound.data.array_summary import ignored
from lowerbound.data.files import ReadingOptions
from lowerbound.data.raw_array import RawArray
from lowerbound.data.rows import CodedLabels, Rows
from lowerbound.data.splits import OwnSplits
from lowerbound.foundation.schema import Schema


@dataclass(frozen=True, eq=False)
class Survey:
    """The rows to use, and what is known of them."""

    schema: Schema
    kept: Int64[np.ndarray, " kept"]  # numbers of rows
    labels: Int64[np.ndarray, " kept"] | None  # positions in `label_names`
    label_names: tuple[str, ...]
    own: OwnSplits
    content: str  # by which the same data are recognised
    notes: tuple[str, ...]
    skipped: tuple[str, ...]


def survey(rows: Rows, options: ReadingOptions, workers: int = 1) -> Survey:
    """Read rows part by part, as often as needed; DataError, or ConfigError for a setting that does not apply."""
    seen = _Seen(rows)
    schema, notes = options.schema, tuple[str, ...]()
    if schema is None:
        found = infer_schema(rows, options.layout, options.range, options.skip_broken, workers, seen.add)
        schema, notes = found.schema, found.notes
    kept, skipped = _fitting(rows, schema, options, seen, workers)
    if not seen.is_complete:
        for part in rows.parts(workers=workers):
            seen.add(part)
    labels, label_names = _named(seen.labels(), kept)
    about = rows.about_read(kept) if rows.about_read else rows.about
    return Survey(
        schema=schema,
        kept=kept,
        labels=labels,
        label_names=label_names,
        own=_own_splits(rows, kept),
        content=seen.content(),
        notes=(*about.notes, *conversion_notes(rows.about, schema), *notes),
        skipped=(*about.skipped, *skipped),
    )


def _fitting(
    rows: Rows, schema: Schema, options: ReadingOptions, seen: "_Seen", workers: int
) -> tuple[Int64[np.ndarray, " kept"], tuple[str, ...]]:
    """The rows that fit the schema, and the reasons for the others. All fit a schema that was inferred from them."""
    is_inferred = options.schema is None and not options.range
    if is_inferred and not options.skip_broken:
        fitting(rows.fetch(np.arange(1), False), schema)  # refuses a shape that is not the schema's
        return np.arange(rows.num_rows), ()
    kept, unread, unfit = list[np.ndarray](), list[str](), list[str]()
    on_part = ignored if seen.is_complete else seen.add
    for part in rows.parts(options.skip_broken, workers):
        on_part(part)
        unread += part.skipped
        if len(part.values):
            _, problems = fitting(part, schema, options.skip_broken)
            assert part.numbers is not None
            kept.append(np.delete(part.numbers, list(problems)))
            unfit += problems.values()
    found = np.concatenate(kept) if kept else np.empty(0, np.int64)
    if not len(found):
        refuse_all((unread + unfit)[0])
    return found, (*unread, *unfit)


def _own_splits(rows: Rows, kept: Int64[np.ndarray, " kept"]) -> OwnSplits:
    about = rows.about
    num_learned = rows.num_rows - about.num_validation - about.num_test
    of_validation, of_test = np.searchsorted(kept, [num_learned, num_learned + about.num_validation]).tolist()
    return OwnSplits(len(kept), of_test - of_validation, len(kept) - of_test)


def _named(
    labels: CodedLabels | None, kept: Int64[np.ndarray, " kept"]
) -> tuple[Int64[np.ndarray, " kept"] | None, tuple[str, ...]]:
    """Labels of the rows that are kept, as positions in the sorted names of those that occur."""
    if labels is None:
        return None, ()
    codes = labels.codes[kept]
    used, of_kept = np.unique(codes, return_inverse=True)
    positions, names = encode_labels([labels.texts[code] for code in used.tolist()])
    return positions[of_kept.reshape(-1)], names


@dataclass
class _Seen:
    """What is gathered from the first complete pass: a hash of the values, and labels that come with the parts."""

    rows: Rows
    num_seen: int = 0
    codes: list[np.ndarray] = field(default_factory=list)
    texts: dict[str | None, int] = field(default_factory=dict)
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, part: RawArray) -> None:
        """Note one part, in order."""
        self.num_seen += len(part.values)
        if part.labels is not None:
            codes = (self.texts.setdefault(label, len(self.texts)) for label in part.labels)
            self.codes.append(np.fromiter(codes, np.int64, len(part.labels)))
        if not self.rows.content:
            self.digest.update(np.ascontiguousarray(part.values).data)

    @property
    def is_complete(self) -> bool:
        """Whether nothing has to be gathered any more."""
        return bool(self.rows.content) or self.num_seen == self.rows.num_rows

    def labels(self) -> CodedLabels | None:
        """Those known before, or those seen."""
        if self.rows.labels is not None or not self.codes:
            return self.rows.labels
        return CodedLabels(np.concatenate(self.codes), tuple(self.texts))

    def content(self) -> str:
        """A hash by which the same data are recognised."""
        of_labels = _hashed(
            [] if (found := self.labels()) is None else [found.codes.tobytes(), repr(found.texts).encode()]
        )
        about = (
            self.rows.content or self.digest.hexdigest(),
            self.rows.shape,
            self.rows.about.values.dtype.str,
            of_labels,
        )
        return _hashed([repr(about).encode()])


def _hashed(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
