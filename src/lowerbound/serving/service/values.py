"""Numbers that someone sent: JSON to arrays, and whether a model can take them."""

from typing import Any

import numpy as np

from lowerbound.data.examples import Examples
from lowerbound.errors import DataError
from lowerbound.schema import Column, Support
from lowerbound.serving.service.limits import Refused
from lowerbound.serving.service.models import Served

NUMBERS = {int, float}
MAX_CODE = 1e6
"""Of a latent's absolute value: priors reach to 6 or so, and beyond this networks overflow."""


def as_array(name: str, data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], with_missing: bool) -> np.ndarray:
    """JSON numbers, flat or nested, as an array of that shape; null is NaN where cells may be missing."""
    if not isinstance(data, list):
        raise Refused(400, f"the data of {name!r} are a {type(data).__name__}, it needs a list of numbers.")
    # Looked at before numpy is: it would take texts for numbers, and make room for the longest in every cell.
    _check_numbers(name, data, NUMBERS | {type(None)} if with_missing else NUMBERS)
    try:
        values = np.array(data, np.float64)
    except (ValueError, OverflowError):
        raise Refused(
            400, f"the data of {name!r} have no shape, or a number too large; they are to be {shape}."
        ) from None
    if values.shape != shape and values.shape != (int(np.prod(shape)),):
        raise Refused(400, f"the data of {name!r} have the shape {values.shape}, which is not {shape}, nor that flat.")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not ((values == np.rint(values)) & (values >= limits.min) & (values <= limits.max)).all():
            raise Refused(400, f"the data of {name!r} are not whole numbers from {limits.min} to {limits.max}.")
    with np.errstate(over="ignore"):  # infinity is refused where it cannot be taken
        return values.astype(dtype).reshape(shape)


def check_examples(served: Served, x: np.ndarray) -> None:
    """Refuse values that the model's likelihood has no meaning for."""
    if served.layout == "table":
        _check_cells(served.model.config.columns, x)
    values = x if x.dtype == np.float32 else x / np.float32(255)
    low, high = float(values.min()), float(values.max())
    try:
        # Most likelihoods ask no more than the range; the rest takes several times as long to find out.
        served.model.likelihood.convention(Support(low, high, has_missing=bool(np.isnan(low))))
    except DataError:
        convention_of(served, values)


def convention_of(served: Served, values: np.ndarray) -> str:
    """What log p(x|z) means for these values ("grey", "binary" ...); Refused where it has no meaning."""
    is_table = served.layout == "table"
    if is_table and np.isnan(values).all():  # rows of which nothing is known
        support = Support(0.0, 0.0, has_missing=True)
    else:
        support = Examples(values, 1.0, layout="table" if is_table else "array").support
    try:
        return served.model.likelihood.convention(support)
    except DataError as error:
        raise Refused(400, str(error)) from None


def check_codes(z: np.ndarray) -> None:
    """Refuse latents that no decoder can take."""
    if not (np.abs(z) <= MAX_CODE).all():  # so that NaN is refused, too
        raise Refused(400, f"z has values that are not numbers between -{MAX_CODE:,.0f} and {MAX_CODE:,.0f}.")


def _check_numbers(name: str, data: list[Any], accepted: set[type]) -> None:
    parts = [data]
    while parts:
        part = parts.pop()
        kinds = set(map(type, part))
        if kinds == {list}:
            parts.extend(part)
        elif not kinds <= accepted:
            others = ", ".join(sorted(kind.__name__ for kind in kinds - accepted))
            raise Refused(400, f"the data of {name!r} hold {others}, accepted are numbers.")


def _check_cells(columns: tuple[Column, ...], x: np.ndarray) -> None:
    for index, column in enumerate(columns):
        cells = x[:, index]
        known = cells[~np.isnan(cells)]
        most = column.num_levels - 1 if column.levels else np.inf
        if column.kind == "numeric" or ((known == np.rint(known)) & (known >= 0) & (known <= most)).all():
            continue
        accepted = f"positions of its levels, 0 to {most}" if column.levels else "counts 0, 1, 2, ..."
        raise Refused(400, f"column {column.name!r} needs {accepted}, or NaN where it is missing.")
