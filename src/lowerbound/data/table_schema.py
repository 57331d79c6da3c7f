"""The schema of a table, inferred from the training cells: kind, levels and missing-value markers of each column.

    missing       empty, and the default markers (schema.MISSING_MARKERS, or data.missing_markers)
    numeric       at least 95 % of the other cells are numbers; the rest are missing-value markers of its own
    count         numeric, non-negative integers that are more likely as counts than as rounded measurements
    binary        two different values, numbers or strings
    categorical   text or booleans with up to 1,000 levels; numbers padded with zeros (00501) are text
    left out      an identifier (mostly unique text, integers that number the rows), an unnamed index, a column
                  with a single value or none

`data.columns.NAME.kind` and `.levels` override all of this; `data.exclude` excludes a column. The decimal sign of a CSV
is the comma if its separator is another character and its numbers have commas; `data.decimal` sets it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from lowerbound.data import number_parsing
from lowerbound.data.array_schema import float32_offset, varies_too_little
from lowerbound.data.count_detection import is_count
from lowerbound.data.decimal_signs import infer_decimal_sign, thousands_notes
from lowerbound.data.known_cells import KnownCells, exclusion_hint, known_cells, lower_case
from lowerbound.data.number_markers import about_number_markers
from lowerbound.data.reading import refuse
from lowerbound.data.tables import ColumnSetting, RawTable, TableOptions, cell_text, quoted_list
from lowerbound.data.text_patterns import text_hint
from lowerbound.foundation.errors import DataError, UnknownName
from lowerbound.foundation.schema import LARGEST, LARGEST_COUNT, Column, Schema
from lowerbound.foundation.text import pluralise
from lowerbound.foundation.text_files import toml_key

LEAST_NUMBERS = 0.95  # of a column's known cells, for it to be numeric
LEAST_ROWS_OF_AN_ID = 10  # in a smaller table, numbers 1..n may be data
MAX_LEVELS = 1_000
LEAST_REPEATED = 0.5  # share of a text column's rows that repeat a value, below which it is an identifier
MOST_NAMED = 8  # texts listed in a note


@dataclass(frozen=True)
class InferredTable:
    """A table's schema, and notes on how it was inferred."""

    schema: Schema
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ColumnFinding:
    """A column, or None if it is left out, and a note: the reason, or which cells count as missing."""

    column: Column | None
    note: str = ""


def infer_table_schema(table: RawTable, options: TableOptions) -> Schema:
    """The schema of a table; `options` override what its cells suggest."""
    return infer_table(table, options).schema


def infer_table(table: RawTable, options: TableOptions) -> InferredTable:
    """The schema of a table, and notes on columns that are left out and cells that count as missing."""
    label = options.label or table.label
    _check_names(table, options, label)
    if len(table.unreadable) == table.num_rows:
        raise DataError(f"{next(iter(table.unreadable.values()))}.")
    markers = lower_case(options.missing_markers)
    names = [name for name in table.columns if name != label and name not in options.exclude]
    decimal = options.decimal or infer_decimal_sign(table, names)
    settings = {name: options.columns.get(name, ColumnSetting()) for name in names}
    known = (
        known_cells(table, name, markers, decimal, setting.levels, options.skip_broken)
        for name, setting in settings.items()
    )
    findings = {cells.name: _finding(cells, settings[cells.name]) for cells in known}
    columns = tuple(finding.column for finding in findings.values() if finding.column is not None)
    notes = tuple(f"column {name!r} {finding.note}" for name, finding in findings.items() if finding.note)
    notes += thousands_notes(table, [column.name for column in columns if column.kind == "numeric"], decimal)
    if not columns:
        refuse(table.place, f"has no usable column; {'; '.join(notes) or 'all are excluded'}")
    used = {column.name for column in columns}
    schema = Schema(
        layout="table",
        shape=(len(columns),),
        dtype="",
        columns=columns,
        left_out=tuple(name for name in table.columns if name not in used and name != label),
        label=label,
        missing_markers=markers,
        decimal=decimal,
        separator=options.separator,
    )
    return InferredTable(schema, notes)


def _check_names(table: RawTable, options: TableOptions, label: str) -> None:
    if label and label not in table.columns:
        refuse(table.place, f"has no column {label!r} for labels; it has {quoted_list(table.columns)}")
    for name in (*options.exclude, *options.columns):
        if name not in table.columns:
            raise UnknownName("column", name, table.columns)


def _finding(known: KnownCells, setting: ColumnSetting) -> ColumnFinding:
    """Infer one column."""
    other = next((cell for cell in known.cells if not isinstance(cell, str | bool | int | float)), None)
    if other is not None:
        is_other = np.array([not isinstance(cell, str | bool | int | float) for cell in known.cells])
        known = known.valid_only(
            is_other, f"cells of type {type(other).__name__} are not accepted; give numbers or strings"
        )
    if setting.kind or setting.levels:
        column = _as_set(known, setting)
        return ColumnFinding(column, _about_markers(known) if column.levels else "")
    if not known.cells:
        return ColumnFinding(None, "is left out: it has no value")
    if _is_numeric(known):
        return _numeric_finding(known)
    found = _text_finding(known)
    return replace(found, note="; ".join(filter(None, (found.note, _about_markers(known)))))


def _is_numeric(known: KnownCells) -> bool:
    if known.table.is_text and any(cell[0] in "+-−0" and number_parsing.is_padded(cell) for cell in known.cells):
        return False
    num_infinite = int(np.isinf(known.values).sum())
    num_plain = len(known.cells) - known.plain.count(None)
    return num_plain > 0 and num_plain >= LEAST_NUMBERS * (len(known.cells) - num_infinite)


def _numeric_finding(known: KnownCells) -> ColumnFinding:
    """A numeric column; its few texts become missing-value markers."""
    known = _of_sound_magnitude(known)
    if not known.cells:
        return ColumnFinding(None, "is left out: it has no value")
    is_number = ~np.isnan(known.values)
    column, why = _column_of_numbers(known, known.values[is_number])
    if column is None:
        return ColumnFinding(None, f"is left out: {why}")
    counting = _about_counting(known, known.values[is_number])
    exceptions = Counter(cell_text(known.cells[index]) for index in np.flatnonzero(~is_number).tolist())
    note = "; ".join(filter(None, (_about(known, exceptions), about_number_markers(known), counting)))
    return ColumnFinding(replace(column, missing_markers=tuple(sorted(exceptions))), note)


def _column_of_numbers(known: KnownCells, values: Float[np.ndarray, " row"]) -> tuple[Column | None, str]:
    different = np.unique(values)
    if len(different) == 1:
        return None, "all its values are the same"
    if (why := _why_index(known, values, different)) != "":
        return None, why
    if len(different) == 2:
        return Column(name=known.name, kind="binary", levels=tuple(map(number_parsing.as_text, different.tolist()))), ""
    is_counted = bool(_are_counts(values).all()) and is_count(values)
    return _count(known.name) if is_counted else _numeric(known, values), ""


def _why_index(known: KnownCells, values: Float[np.ndarray, " row"], different: Float[np.ndarray, " value"]) -> str:
    """Why distinct integers are an index of the rows; empty if they are not."""
    num_rows = known.table.num_rows
    if len(different) != num_rows or not (values == np.rint(values)).all():
        return ""
    if known.name in known.table.unnamed:
        return "it has no name and its integers are all different, so it is an index"
    is_run = different[0] in (0, 1) and different[-1] - different[0] == num_rows - 1
    if is_run and num_rows >= LEAST_ROWS_OF_AN_ID:
        return f"it numbers the rows from {different[0]:.0f} to {different[-1]:.0f} (set its kind to keep it)"
    return ""


def _about_counting(known: KnownCells, values: Float[np.ndarray, " row"]) -> str:
    """A note on numbers that may only count the rows, from a number other than 0 or 1."""
    num_rows = known.table.num_rows
    first, last = values.min(), values.max()
    is_run = len(np.unique(values)) == num_rows == last - first + 1 and float(first).is_integer()
    if not is_run or num_rows < LEAST_ROWS_OF_AN_ID:
        return ""
    setting = f'set data.exclude=["{known.name}"]'
    return f"counts from {first:.0f} to {last:.0f}, once each: if it only names the rows, {setting}"


def _text_finding(known: KnownCells) -> ColumnFinding:
    """A text column: categorical, or an identifier."""
    different, num_known = Counter(known.texts), len(known.texts)
    hint = text_hint(different, known.decimal, known.table.is_text)
    if len(different) == 1:
        return ColumnFinding(None, "is left out: all its values are the same")
    if len(different) == 2:
        column = Column(name=known.name, kind="binary", levels=_levels(different))
        return ColumnFinding(column, _about_case(column.levels))
    repeated = sum(count for count in different.values() if count > 1)
    if len(different) > MAX_LEVELS or repeated < LEAST_REPEATED * num_known:
        why = f"its {len(different):,} different values look like identifiers, not categories"
        return ColumnFinding(None, f"is left out: {why}" + (f" ({hint})" if hint else ""))
    column = Column(name=known.name, kind="categorical", levels=_levels(different))
    notes = (f"is categorical ({hint})" if hint else "", _about_case(column.levels))
    return ColumnFinding(column, "; ".join(filter(None, notes)))


def _as_set(known: KnownCells, setting: ColumnSetting) -> Column:
    """The column with the kind or levels that were set; DataError for the first cell that does not fit."""
    if not known.cells and not setting.levels:
        refuse(known.table.place, f"has no value in column {known.name!r}; {exclusion_hint(known.name)}")
    if setting.levels or setting.kind in ("binary", "categorical"):
        return _levels_as_set(known, setting)
    known = _of_sound_magnitude(known)
    known = known.valid_only(
        np.isnan(known.values), f"it is not a number, and the column's kind is set to {setting.kind!r}"
    )
    if setting.kind == "numeric":
        return _numeric(known, known.values)
    known.valid_only(~_are_counts(known.values), f"counts are whole numbers from 0 to {LARGEST_COUNT:,}")
    return _count(known.name)


def _levels_as_set(known: KnownCells, setting: ColumnSetting) -> Column:
    texts = _texts_as_levels(known)
    levels = setting.levels or _levels(texts)
    kind = setting.kind or ("binary" if len(levels) == 2 else "categorical")
    if kind not in ("binary", "categorical"):
        refuse(known.table.place, f"cannot have levels in column {known.name!r}, whose kind is set to {kind!r}")
    if kind == "binary" and len(levels) != 2:
        third = next((i for i, text in enumerate(texts) if text not in levels[:2]), 0)
        known.refuse(third, f"a binary column has 2 different values, but this one has {len(levels):,}")
    if len(levels) > MAX_LEVELS:
        refuse(
            known.table.place, f"has {len(levels):,} levels in column {known.name!r}, but the limit is {MAX_LEVELS:,}"
        )
    pairs = zip(texts, known.texts, strict=True)
    is_other = np.array([text not in levels and as_it_is not in levels for text, as_it_is in pairs], bool)
    known.valid_only(is_other, f"the levels set are {quoted_list(levels)}")
    return Column(name=known.name, kind=kind, levels=levels)


def _texts_as_levels(known: KnownCells) -> list[str]:
    """The cells as levels: 5 and 5.0 are one level, 05 is another."""
    pairs = zip(known.texts, known.plain, strict=True)
    return [text if number is None else number_parsing.as_text(number) for text, number in pairs]


def _count(name: str) -> Column:
    return Column(name=name, kind="count", decimals=0)


def _numeric(known: KnownCells, values: Float[np.ndarray, " row"]) -> Column:
    if varies_too_little(values):
        came = f"has numbers that vary by less than {1 / LARGEST:g} in column {known.name!r}"
        refuse(known.table.place, f"{came}; multiply the column, {exclusion_hint(known.name)}")
    return Column(
        name=known.name, kind="numeric", offset=float32_offset(values), decimals=number_parsing.num_decimals(values)
    )


def _about(known: KnownCells, exceptions: Mapping[str, int]) -> str:
    if not exceptions:
        return ""
    num_cells, num_known = sum(exceptions.values()), len(known.cells)
    setting = f'data.columns.{toml_key(known.name)}.kind="categorical"'
    return (
        f"is numeric in {num_known - num_cells:,} of {num_known:,} cells; the others are read as missing: "
        f"{quoted_list(sorted(exceptions))} (to keep them, set {setting})"
    )


def _about_markers(known: KnownCells) -> str:
    """A note on missing-value markers in a text column, where they could also be levels."""
    if not known.markers:
        return ""
    came = f"has {quoted_list(sorted(known.markers))} in {pluralise(known.markers.total(), 'cell')}, read as missing"
    return f'{came} (to keep such text, set data.missing_markers=[""], or the column\'s levels)'


def _about_case(levels: Sequence[str]) -> str:
    """A note on levels that differ only in the case of letters."""
    alike: dict[str, list[str]] = {}
    for level in levels:
        alike.setdefault(level.casefold(), []).append(level)
    several = next((group for group in alike.values() if len(group) > 1), None)
    if several is None:
        return ""
    return f"has levels that differ only in case, such as {quoted_list(several)}: if they are one, write them alike"


def _levels(texts: Sequence[str] | Mapping[str, int]) -> tuple[str, ...]:
    """Distinct strings: numbers in order, then other strings in order."""
    plain = {text: number_parsing.parse_plain_number(text) for text in texts}
    return tuple(sorted(plain, key=lambda text: (plain[text] is None, plain[text] or 0.0, text)))


def _of_sound_magnitude(known: KnownCells) -> KnownCells:
    known = known.valid_only(np.isinf(known.values), "numbers must be finite; leave such cells empty")
    return known.valid_only(np.abs(known.values) >= LARGEST, "numbers must be below 1e18; divide the column")


def _are_counts(values: Float[np.ndarray, " cell"]) -> Bool[np.ndarray, " cell"]:
    return (values >= 0) & (values <= LARGEST_COUNT) & (values == np.rint(values))
