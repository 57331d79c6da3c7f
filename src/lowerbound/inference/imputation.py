"""`impute`: fill the missing cells of a table with their expected values under a trained model, given the known cells.

A draw z ~ q(z|x) has the weight w = p(x, z) / q(z|x), where x is the known cells, so that the weighted mixture of the
p(· | z) approximates p(missing | known) under the model. A fill is the mean of this mixture, rounded (a count to a
whole number), or its likeliest level; its standard deviation, or the level's probability, is reported with it. A row
without a known cell is filled from the prior.

Source: Mattei and Frellsen, "MIWAE", arXiv:1812.02633, Equation 12.

A fill has as many decimals as the numbers of the training table have, at most, and no more than three digits beyond the
first digit of its standard deviation.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data import number_parsing
from lowerbound.data.batches import context_of_all
from lowerbound.data.conditions import given_in_table
from lowerbound.data.parquet import read_parquet
from lowerbound.data.reading import STANDARD_LIMIT, Limit, limit_from_setting
from lowerbound.data.table_examples import conform_table, match_columns
from lowerbound.data.table_filling import Fill, as_cell, fill_csv, fill_parquet, same_file
from lowerbound.data.tables import RawTable, TableOptions, csv_content, read_csv
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.foundation.schema import Column, Schema
from lowerbound.foundation.seeding import ContentNoise, content_noise, generator
from lowerbound.foundation.storage import write_bytes, write_text
from lowerbound.models.vae import VAE, Context
from lowerbound.probability.tables import ColumnCodes, TableRow
from lowerbound.runs.trained_model import load

NUM_DRAWS = 100
BATCH_SIZE = 100
MOST_SIGNIFICANT = 3  # digits of a fill beyond the first of its standard deviation
SUFFIXES = (".csv", ".tsv", ".parquet")
FILLS_HEADER = ("row", "column", "value", "standard_deviation", "probability")


@dataclass(frozen=True, eq=False)
class Expected:
    """p(missing | known) of some rows, cell by cell, in the units of x."""

    mean: Float[Tensor, "batch column"]
    deviation: Float[Tensor, "batch column"]
    levels: dict[int, Float[Tensor, "batch level"]]  # probabilities, by the column's position


@dataclass(frozen=True)
class FilledCell:
    """One filled cell: row, counted from 0, column, value, and its uncertainty."""

    row: int
    column: str
    fill: Fill
    deviation: float | None = None  # of a numeric column or a count, in its unit
    probability: float | None = None  # of a level


@dataclass(frozen=True)
class Imputed:
    """The result of `impute_table`."""

    path: Path
    fills_path: Path  # a CSV with a line for each filled cell
    num_rows: int
    num_filled: int
    skipped: tuple[str, ...]  # rows that could not be read, copied unchanged
    notes: tuple[str, ...]


def impute(
    run: RunPath,
    path: str | Path,
    out: str | Path | None = None,
    skip_broken: bool = False,
    max_gib: float | None = None,
) -> Imputed:
    """Fill a table with a run's model; by default into the run's directory, in the input's format.

    UsageError for anything but the path of a .csv, .tsv or .parquet file.
    """
    if not isinstance(path, str | Path):
        raise UsageError(
            f"impute fills a file: give the path of one ({', '.join(SUFFIXES)}), got a {type(path).__name__}."
        )
    trained, table = load(run), Path(path)
    filled = Path(out) if out else path_of(run) / f"imputed{table.suffix.lower()}"
    return impute_table(trained.vae, trained.schema, table, filled, skip_broken, limit_from_setting(max_gib))


def impute_table(
    vae: VAE, schema: Schema, path: Path, out: Path, skip_broken: bool = False, limit: Limit = STANDARD_LIMIT
) -> Imputed:
    """Write a table to `out` with its missing cells filled and everything else unchanged, and a CSV of the fills.

    UsageError for a model that is not of tables, and if `out` has another format or is the input itself; DataError
    for a table that does not fit the schema.
    """
    fills_path = out.with_suffix(".cells.csv" if out.suffix.lower() == ".parquet" else f".cells{out.suffix}")
    check_paths(path, out, fills_path)
    if not vae.columns:
        raise UsageError(
            f"impute needs a model trained on a table; this model has likelihood {vae.config.likelihood!r}."
        )
    table = _read(path, schema, limit)
    rows = conform_table(table, schema, skip_broken, given_in_table(table, schema, {}))
    x, context = torch.from_numpy(np.asarray(rows.examples.values)), context_of_all(rows.examples)
    names = match_columns(table, schema)
    cells = list(_filled_cells(vae, x, context, frozenset(rows.unreadable), names))
    fills = {(cell.row, cell.column): cell.fill for cell in cells}
    if path.suffix.lower() == ".parquet":
        content = fill_parquet(path, table, fills, limit)
    else:
        content = fill_csv(csv_content(path, limit), table, schema.decimal, fills)
    write_bytes(out, content)
    write_text(fills_path, _fills_text(cells, table, schema.decimal))
    return Imputed(out, fills_path, table.num_rows, len(cells), rows.skipped, rows.notes)


def check_paths(path: Path, out: Path, fills_path: Path) -> None:
    """UsageError for an input or output that `impute_table` does not accept, before anything is read."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path} is not a table file; impute accepts {', '.join(SUFFIXES)}.")
    if out.suffix.lower() != suffix:
        raise UsageError(f"{out} must end in {suffix}, as {path} does: impute keeps the format.")
    for written in (out, fills_path):
        if same_file(path, written):
            raise UsageError(f"{written} is the input, which impute does not overwrite; choose another output.")


@torch.no_grad()
def expected_cells(vae: VAE, x: Float[Tensor, "batch column"], num_draws: int = NUM_DRAWS) -> Expected:
    """The importance-weighted mixture of p(cells | z); each row has its own noise."""
    has_known = ~x.isnan().all(-1)
    noise = content_noise(x, 0, "imputation")
    z, log_weight = _draws(vae, x, noise, num_draws)
    prior = _from_prior(vae, num_draws)
    z = torch.where(has_known.unsqueeze(-1), z, prior)
    weight = torch.softmax(torch.where(has_known, log_weight, 0.0), dim=0).double()
    likelihood = vae.decode(z)
    assert isinstance(likelihood, TableRow)
    return _mixture(likelihood, weight)


def rounded(value: float, deviation: float, column: Column) -> float:
    """A fill of a numeric column, rounded to its significant digits."""
    first = math.floor(math.log10(deviation)) if 0 < deviation < math.inf else 0
    return round(value, min(column.decimals, max(0, MOST_SIGNIFICANT - first)))


def _read(path: Path, schema: Schema, limit: Limit) -> RawTable:
    if path.suffix.lower() == ".parquet":
        return read_parquet(path, TableOptions(limit=limit))
    return read_csv(path, TableOptions(separator=schema.separator, decimal=schema.decimal, limit=limit))


def _draws(
    vae: VAE, x: Float[Tensor, "batch column"], noise: ContentNoise, num_draws: int
) -> tuple[Float[Tensor, "sample batch latent"], Float[Tensor, "sample batch"]]:
    """Draws z ~ q(z|x) and their log-weights; a plain autoencoder has one code, whose weight is 1."""
    samples = vae.sample_posterior(x, noise, num_draws)
    if vae.is_deterministic:
        return samples.z, torch.zeros_like(samples.log_likelihood)
    return samples.z, samples.log_weight


def _from_prior(vae: VAE, num_draws: int) -> Float[Tensor, "sample #batch latent"]:
    device = next(vae.parameters()).device
    if vae.prior.takes_context:  # one for each row
        return vae.prior().sample(generator(0, "imputation from the prior", device), num_draws)
    return vae.prior.sample(generator(0, "imputation from the prior", device), num_draws).unsqueeze(1)


def _mixture(likelihood: TableRow, weight: Float[Tensor, "sample batch"]) -> Expected:
    """Means, standard deviations and levels' probabilities of weighted draws."""
    each = weight.unsqueeze(-1)
    means, variances = likelihood.mean.double(), likelihood.variance.double()
    mean = (each * means).sum(0)
    deviation = (each * (variances + (means - mean) ** 2)).sum(0).sqrt()
    levels = {}
    for block in likelihood.blocks:
        if isinstance(block.distribution, ColumnCodes):
            levels[int(block.columns)] = (each * block.distribution.logits.double().softmax(-1)).sum(0)
    return Expected(mean, deviation, levels)


def _filled_cells(
    vae: VAE, x: Float[Tensor, "row column"], context: Context | None, unreadable: frozenset[int], names: list[str]
) -> Iterator[FilledCell]:
    """The filled cells of all readable rows, row by row."""
    incomplete = [row for row in x.isnan().any(-1).nonzero().flatten().tolist() if row not in unreadable]
    for start in range(0, len(incomplete), BATCH_SIZE):
        rows = incomplete[start : start + BATCH_SIZE]
        expected = expected_cells(vae.given(None if context is None else context[rows]), x[rows])
        for position, row in enumerate(rows):
            for index in x[row].isnan().nonzero().flatten().tolist():
                yield _filled_cell(row, names[index], vae.columns[index], expected, (position, index))


def _filled_cell(row: int, name: str, column: Column, expected: Expected, place: tuple[int, int]) -> FilledCell:
    mean, deviation = float(expected.mean[place]), float(expected.deviation[place])
    if not column.levels:
        value = float(round(mean)) if column.kind == "count" else rounded(mean + column.offset, deviation, column)
        return FilledCell(row, name, Fill(number_parsing.as_text(value), value), deviation=deviation)
    position, index = place
    chances = [1 - mean, mean] if column.kind == "binary" else expected.levels[index][position].tolist()
    level = max(range(len(chances)), key=chances.__getitem__)
    text = column.levels[level]
    return FilledCell(
        row, name, Fill(text, number_parsing.parse_plain_number(text), is_level=True), probability=chances[level]
    )


def _fills_text(cells: list[FilledCell], table: RawTable, decimal: number_parsing.Decimal) -> str:
    """The fills as a CSV with the separator and the decimal sign of the table's."""
    text = StringIO()
    writer = csv.writer(text, delimiter=table.separator or ",", lineterminator="\n")
    writer.writerow(FILLS_HEADER)
    for cell in cells:
        column = table.columns[cell.column]
        value = as_cell(cell.fill, decimal, column) if table.is_text else cell.fill.text
        numbers = [_digits(number).replace(".", decimal) for number in (cell.deviation, cell.probability)]
        writer.writerow([cell.row, cell.column, value, *numbers])
    return text.getvalue()


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
