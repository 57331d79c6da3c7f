"""What commands print of data, schemas and layers."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lowerbound.commands.console import MOST_SHOWN, out, print_table
from lowerbound.foundation.text import pluralise, skipped_lines

if TYPE_CHECKING:
    from lowerbound.foundation.schema import Schema
    from lowerbound.networks.layers import Layer
    from lowerbound.runs.inspection import ColumnFound, Inspection

BARS = " ▁▂▃▄▅▆▇█"


def print_packed(about: dict[str, Any]) -> None:
    """Print what a folder of packed data contains."""
    splits = ", ".join(f"{name} {rows:,}" for name, rows in about["splits"].items())
    for line in (*about["notes"], *skipped_lines(about["skipped"])):
        out.print(line, markup=False)
    if about["about_columns"]:
        out.print(f"columns: {about['about_columns']}", markup=False)
    shape = shape_in_words(tuple(about["shape"]))
    out.print(f"{about['layout']} {shape}, {about['dtype']}: {splits}; {about['size']}", markup=False)
    out.print(f"{'packed' if about['is_new'] else 'already packed'}: {about['path']}", markup=False)


def print_inspection(name: str, found: "Inspection") -> None:
    """Print a summary of data, and what training on them would choose."""
    # Imported here: it imports Pillow. Names and levels may contain escape sequences and line breaks.
    from lowerbound.data.reading import printable

    lines = [f"{printable(name)}: {found.about}"]
    missing = f"{pluralise(found.num_missing, 'cell')} missing"
    if found.columns:  # which have a range each
        lines.append(missing)
    else:
        lines.append(f"values from {found.low:g} to {found.high:g}" + (f", {missing}" if found.num_missing else ""))
        top = max(found.histogram)
        bars = "".join(BARS[-(-8 * count // top)] for count in found.histogram)
        lines.append(f"{found.low:g} {bars} {found.high:g}")
    if found.labels:
        counts = ", ".join(f"{printable(label)} {count:,}" for label, count in list(found.labels.items())[:MOST_SHOWN])
        lines.append(f"labels: {counts}")
    lines.append(f"duplicates of an earlier example: {found.num_duplicates:,}")
    lines += [*found.notes, *skipped_lines(found.skipped)]
    for line in lines:
        out.print(printable(line), markup=False)
    if found.columns:
        rows = [
            (printable(column.name), column.kind, f"{column.num_missing:,}", _extent(column))
            for column in found.columns
        ]
        print_table(("column", "kind", "missing", "range or levels"), rows, right=(2,))
    print_settings("read as (change with --set):", found.settings)
    out.print("`lowerbound train` would choose:")
    print_table(
        ("setting", "choice", "reason"), [(choice.what, choice.value, choice.reason) for choice in found.choices]
    )
    if found.sheet:
        out.print(f"contact sheet: {found.sheet}", markup=False)


def print_settings(title: str, settings: Sequence[str]) -> None:
    """Print settings, quoted for a shell."""
    if settings:
        out.print(title)
    # Imported here, so that help is fast.
    from lowerbound.data.reading import printable

    for line in settings[:MOST_SHOWN]:
        out.print(f"  {printable(shlex.quote(line))}", markup=False)
    if len(settings) > MOST_SHOWN:
        out.print(f"  and {len(settings) - MOST_SHOWN} more; --json lists all", markup=False)


def print_schema(name: str, schema: "Schema") -> None:
    """Print the schema of a run's data."""
    # Imported here: it imports torch.
    from lowerbound.runs.inspection import schema_settings

    of_type = f" of {schema.dtype}" if schema.dtype else ""
    if schema.layout == "table":
        what = f"rows of {pluralise(len(schema.columns), 'column')}"
    else:
        what = f"{schema.layout}s {shape_in_words(schema.shape)}{of_type}"
    out.print(f"{name}: trained on {what}", markup=False)
    print_settings("read as:", schema_settings(schema))


def _extent(column: "ColumnFound") -> str:
    from lowerbound.data.reading import printable

    if column.low is None or column.high is None:
        more = f" and {len(column.levels) - 6} more" if len(column.levels) > 6 else ""
        return ", ".join(map(printable, column.levels[:6])) + more
    largest = max(abs(column.low), abs(column.high))
    needs_all = largest >= 1e7 or 0 < column.high - column.low < 1e-5 * largest
    digits = 17 if needs_all else 7
    return f"{column.low:.{digits}g} to {column.high:.{digits}g}"


def print_layers(title: str, layers: Sequence["Layer"]) -> None:
    """Print the layers of one network."""
    rows = [(row.name, row.kind, shape_in_words(row.output_shape), f"{row.num_parameters:,}") for row in layers]
    total = sum(layer.num_parameters for layer in layers)
    print_table((title, "layer", "output", "parameters"), [*rows, ("", "", "total", f"{total:,}")], right=(3,))


def shape_in_words(shape: Sequence[int]) -> str:
    """Lengths joined by ×."""
    return " × ".join(map(str, shape))
