"""read_object(): Python objects (arrays, tensors, DataFrames, data sets, PIL images) to RawArray or RawTable.

    numpy array, tensor, nested list     the numbers unchanged; masked values and None are NaN
    SciPy sparse matrix                  a dense array of at most 8 GiB
    PIL images                           8-bit grey or RGB, or numbers of one channel; all of one size
    torch data set                       its items, transforms applied; in (x, y) pairs y is the label
    pandas, Polars, Arrow                a table: columns by name, categories as text, no index
    dict of columns, list of dicts       a table

The schema is inferred elsewhere (array_schema.py, table_schema.py). No optional library is imported: objects are
recognised by the modules that the program has already imported. The table of kinds is KINDS.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from lowerbound.data.array_schema import CHANNELS
from lowerbound.data.cells import column_cells, label_texts, python_scalar
from lowerbound.data.factor_columns import factor_table, with_factors, with_own_factors
from lowerbound.data.pil_images import from_images
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import GIB, MAX_BYTES, Limit, format_bytes, format_shape, refuse
from lowerbound.data.splits import Splits
from lowerbound.data.tables import RawTable, check_size, table_from_columns
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.text import pluralise

ACCEPTED = (
    "a numpy array, a tensor, a nested list, a table (pandas, Polars, Arrow, a dict of columns), "
    "a torch Dataset, PIL images or a sparse matrix"
)
SINGLE = "is a single value; pass an array of examples, along axis 0"
HINTS = {
    "DataLoader": "pass its data set: loader.dataset",
    "Dataset": "save it with save_to_disk(folder) and pass the folder",
    "generator": "pass list(...)",
}
"""Remedies for objects that are not accepted, by type name."""

Raw = RawArray | RawTable

IN_MEMORY = Limit(18 * GIB, can_be_raised=False)
"""Limit on the cells of a table in memory: 134 million of them."""


def read_object(
    values: Any, labels: Any = None, place: str = "the array", factors: Any = None
) -> RawArray | RawTable | Splits:
    """Stored numbers or cells of any supported object; splits are returned unchanged.

    `labels` has one label for each example: integers, strings or booleans, None where missing. For a table it may be
    the name of a column. `factors` is a table of known factors of variation, or an array of examples × factors; for
    data that are a table it may be a list of columns. DataError for objects that are not supported.
    """
    if isinstance(values, Splits):
        if labels is not None:
            raise DataError("labels were given with splits, which have their own labels; remove the argument.")
        return values
    if factors is not None and isinstance(values, Splits):
        raise DataError("factors were given with splits, which have their own; remove the argument.")
    raw = _read(place, values)
    raw = raw if labels is None else _labelled(raw, labels)
    return raw if factors is None else _with_factors(raw, factors)


def _with_factors(raw: Raw, factors: Any) -> Raw:
    is_names = isinstance(factors, list | tuple) and all(isinstance(name, str) for name in factors)
    if is_names and isinstance(raw, RawTable):
        return with_own_factors(raw, factors)
    if is_names and len(factors):
        refuse(raw.place, "is not a table that has columns of factors; give a table of factors, or an array of numbers")
    return with_factors(raw, factor_table(_read(f"{raw.place}: factors", factors), raw.place))


def is_read_whole(values: Any) -> bool:
    """Whether an object is of a kind that is in memory or is read at once: all but arrays of other libraries."""
    return isinstance(values, Splits) or _is_text(values) or any(is_one(values) for is_one, _ in KINDS[:-1])


def _read(place: str, values: Any) -> Raw:
    for is_one, read in KINDS:
        if is_one(values):
            return read(place, values)
    name = type(values).__qualname__
    module = type(values).__module__
    hint = f"; {HINTS[name]}" if name in HINTS else ""
    raise DataError(f"expected {ACCEPTED}; got a {name if module == 'builtins' else f'{module}.{name}'}{hint}.")


def _is(module: str, *names: str) -> Callable[[Any], bool]:
    """A test whether an object is an instance of a class in a module that need not be installed."""

    def is_one(values: Any) -> bool:
        found = sys.modules.get(module)
        return any(isinstance(values, getattr(found, name)) for name in names if hasattr(found, name))

    return is_one


_is_tensor = _is("torch", "Tensor")


def _from_tensor(place: str, tensor: Any) -> RawArray:
    if not tensor.ndim:
        refuse(place, SINGLE)
    return _from_torch(place, _numbers(place, tensor))


def _from_torch(place: str, values: Shaped[np.ndarray, "example *event"]) -> RawArray:
    """Torch images are N×C×H×W; they are stored as N×H×W×C."""
    shape = values.shape
    if len(shape) == 4 and shape[1] in CHANNELS and not {shape[2], shape[3]} & set(CHANNELS):
        note = "axes N×C×H×W of a tensor read as N×H×W×C"
        return RawArray(place=place, values=values.transpose(0, 2, 3, 1), notes=(note,))
    return RawArray(place=place, values=values)


def _numbers(place: str, values: Any) -> Shaped[np.ndarray, "..."]:
    """A tensor on any device, or an array, as a numpy array; a view where possible."""
    if not _is_tensor(values):
        return np.asarray(values)
    torch = sys.modules["torch"]
    if values.layout != torch.strided and not values.is_nested:
        _check_size(place, values.numel() * values.element_size())
        values = values.to_dense()
    if values.is_floating_point() and values.element_size() < 4 and values.dtype != torch.float16:
        values = values.float()  # bfloat16 and other types that numpy lacks
    try:
        return values.detach().cpu().resolve_conj().resolve_neg().numpy()
    except (NotImplementedError, RuntimeError, TypeError):
        refuse(
            place,
            f"is a tensor of {values.dtype} on {values.device} that numpy does not support; convert it to a plain one",
        )


def _from_array(place: str, values: Any) -> Raw:
    if np.ma.is_masked(values):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    values = np.asarray(values)
    if not values.ndim:
        refuse(place, SINGLE)
    if values.dtype.names:
        return _from_columns(place, {name: values[name] for name in values.dtype.names})
    return _from_objects(place, values) if values.dtype == object else RawArray(place=place, values=values)


def _from_objects(place: str, values: Shaped[np.ndarray, "..."]) -> Raw:
    """An array of Python objects: numbers with missing ones, cells of several kinds, or arrays."""
    cells = values.reshape(-1)
    if all(cell is None or isinstance(cell, int | float | np.number) for cell in cells):
        return RawArray(place=place, values=values.astype(np.float64))
    if values.ndim == 2:
        return _from_columns(place, {str(index): column.tolist() for index, column in enumerate(values.T)})
    if values.ndim == 1 and any(isinstance(cell, np.ndarray) for cell in cells):
        return _from_list(place, values.tolist())
    refuse(place, "contains Python objects that are not numbers; pass numbers, or a table for text")


def _from_list(place: str, values: Any) -> Raw:
    first = next(iter(values), None)
    if isinstance(first, Image.Image):
        return from_images(place, values)
    if isinstance(first, Mapping):
        return _from_records(place, values)
    if _is_tensor(first):
        return _from_torch(place, _gathered(place, values, len(values)))
    if isinstance(first, np.ndarray):
        return RawArray(place=place, values=_gathered(place, values, len(values)))
    try:
        array = np.asarray(values)
    except ValueError:  # several shapes
        return RawArray(place=place, values=_gathered(place, values, len(values)))
    # A single text would make numpy convert all numbers to texts.
    return _from_array(place, np.array(values, object) if array.dtype.kind in "US" else array)


def _gathered(place: str, items: Iterable[Any], count: int) -> Shaped[np.ndarray, "example *event"]:
    """Arrays of one shape and type stacked into one; `count` is their number, or 0 if unknown."""
    values = np.empty(0)
    num_read = 0
    for index, item in enumerate(items):
        part = _part(place, index, item)
        if not index:
            values = _room(place, count or 1, part)
        elif (part.shape, part.dtype) != (values.shape[1:], values.dtype):
            refuse(
                place,
                f"contains {_shown(part)} as example {index} and {_shown(values[0])} as example 0; pass examples of "
                "the same shape and type (labels are a separate argument)",
            )
        if index == len(values):
            values = np.concatenate([values, _room(place, 2 * index, part)[index:]])
        values[index] = part
        num_read = index + 1
    return values[:num_read]


def _part(place: str, index: int, item: Any) -> Shaped[np.ndarray, "*event"]:
    accepted = isinstance(item, np.ndarray | np.generic | list | tuple | int | float) or _is_tensor(item)
    try:
        part = _numbers(place, item) if accepted else None
    except ValueError:
        refuse(place, f"contains lists of different lengths within example {index}; give all of them the same shape")
    if part is None or part.dtype.kind not in "biuf":
        refuse(place, f"contains a {type(item).__name__} as example {index}; accepted: arrays or tensors of numbers")
    return part


def _room(place: str, count: int, part: Shaped[np.ndarray, "*event"]) -> Shaped[np.ndarray, "example *event"]:
    _check_size(place, count * part.nbytes)
    return np.empty((count, *part.shape), part.dtype)


def _check_size(place: str, num_bytes: int) -> None:
    if num_bytes > MAX_BYTES:
        came = f"takes {format_bytes(num_bytes)} as a dense array"
        refuse(place, f"{came}, but the limit is {format_bytes(MAX_BYTES)}; use fewer examples or features")


def _shown(part: Shaped[np.ndarray, "*event"]) -> str:
    return f"{format_shape(part.shape)} {part.dtype}" if part.ndim else f"a single {part.dtype}"


def _from_dataset(place: str, dataset: Any) -> Raw:
    data = sys.modules["torch.utils.data"]
    if type(dataset) is data.TensorDataset:
        return _from_tensors(place, *dataset.tensors)
    if isinstance(dataset, data.IterableDataset):
        return _from_items(place, dataset, 0)
    if not hasattr(dataset, "__len__"):
        refuse(place, f"is a {type(dataset).__name__} without __len__; add it, or derive from IterableDataset")
    # By index: iteration might not end if __getitem__ accepts any index.
    return _from_items(place, (dataset[index] for index in range(len(dataset))), len(dataset))


def _from_tensors(place: str, x: Any, *others: Any) -> RawArray:
    if len(others) > 1:
        refuse(place, f"contains {1 + len(others)} tensors; accepted: x or pairs (x, y) with a label y")
    raw = _from_tensor(place, x)
    return replace(raw, labels=label_texts(place, others[0], len(raw.values))) if others else raw


def _from_items(place: str, items: Iterable[Any], count: int) -> Raw:
    labels: list[Any] = []
    inputs = _inputs(place, items, labels)
    first = next(inputs, None)
    if first is None:
        refuse(place, "contains no examples")
    inputs = chain([first], inputs)
    if isinstance(first, Image.Image):
        raw = from_images(place, inputs)
    else:
        values = _gathered(place, inputs, count)
        raw = _from_torch(place, values) if _is_tensor(first) else RawArray(place=place, values=values)
    return replace(raw, labels=label_texts(place, labels, len(raw.values))) if labels else raw


def _inputs(place: str, items: Iterable[Any], labels: list[Any]) -> Iterator[Any]:
    """The x of each item; the y of pairs is appended to `labels`."""
    for index, item in enumerate(items):
        # A list of numbers is an x.
        is_pair = isinstance(item, tuple) or (isinstance(item, list) and not isinstance(item[0], int | float))
        parts = item if is_pair else (item,)
        if len(parts) not in (1, 2) or isinstance(parts[0], Mapping):
            came = f"{len(parts)} parts" if is_pair else f"a {type(item).__name__}"
            refuse(place, f"contains {came} as example {index}; accepted: x or pairs (x, y) with a label y")
        if index and bool(labels) != (len(parts) == 2):
            without, other = (index, 0) if labels else (0, index)
            refuse(
                place,
                f"contains example {without} without a label and example {other} with one; label all examples or none",
            )
        labels.extend(python_scalar(label) for label in parts[1:])
        yield parts[0]


def _from_frame(place: str, frame: Any) -> RawTable:
    if frame.ndim == 1:  # a Series
        frame = frame.to_frame("0" if frame.name is None else frame.name)
    names = [".".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in frame.columns]
    return _from_pairs(place, names, [frame.iloc[:, index] for index in range(len(names))])


def _from_arrow(place: str, values: Any) -> RawTable:
    try:
        import pyarrow
    except ModuleNotFoundError:
        refuse(place, "is read with pyarrow, which is not installed; pip install 'lowerbound[tables]'")
    table = pyarrow.table(values)
    return _from_pairs(place, table.column_names, table.columns)


def _from_records(place: str, rows: Any) -> RawTable:
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            refuse(place, f"contains a {type(row).__name__} as row {index} among dicts; pass every row as a dict")
    names = dict.fromkeys(chain.from_iterable(rows))
    return _from_columns(place, {name: [row.get(name) for row in rows] for name in names})


def _from_columns(place: str, columns: Mapping[Any, Any]) -> RawTable:
    return _from_pairs(place, [str(name) for name in columns], list(columns.values()))


def _from_pairs(place: str, names: list[str], columns: list[Any]) -> RawTable:
    """Columns with their names; DataError for a duplicate name or columns of different lengths."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        refuse(place, f"has the column {twice[0]!r} twice; give columns different names")
    if not names:
        refuse(place, "has no columns")
    check_size(place, sum(len(column) for column in columns if hasattr(column, "__len__")), IN_MEMORY)
    cells = {name: column_cells(place, column, f"column {name!r}") for name, column in zip(names, columns, strict=True)}
    lengths = {name: len(column) for name, column in cells.items()}
    other = next((name for name in names if lengths[name] != lengths[names[0]]), None)
    if other:
        came = f"{pluralise(lengths[names[0]], 'cell')} in column {names[0]!r} and {lengths[other]:,} in {other!r}"
        refuse(place, f"has {came}; pass columns of equal length")
    return table_from_columns(place, cells)


def _labelled(raw: Raw, labels: Any) -> Raw:
    if isinstance(raw, RawArray):
        return replace(raw, labels=label_texts(raw.place, labels, raw.num_rows))
    if isinstance(labels, str):
        if labels not in raw.columns:
            refuse(raw.place, f"has no column {labels!r} for labels; it has {', '.join(map(repr, raw.columns))}")
        return replace(raw, label=labels)
    name = "label"
    while name in raw.columns:
        name += "_"
    columns: dict[str, Any] = {**raw.columns, name: label_texts(raw.place, labels, raw.num_rows)}
    return replace(raw, columns=columns, label=name)


def _from_sparse(place: str, values: Any) -> RawArray:
    _check_size(place, prod(values.shape) * values.dtype.itemsize)
    return RawArray(place=place, values=values.toarray())


def _from_image(place: str, image: Any) -> RawArray:
    return from_images(place, [image])


def _is_text(values: Any) -> bool:
    return isinstance(values, str | bytes)


KINDS: tuple[tuple[Callable[[Any], bool], Callable[[str, Any], Raw]], ...] = (
    (_is_tensor, _from_tensor),
    (_is("torch.utils.data", "Dataset"), _from_dataset),
    (_is("pandas", "DataFrame", "Series"), _from_frame),
    (_is("scipy.sparse", "spmatrix", "sparray"), _from_sparse),
    (lambda values: isinstance(values, np.ndarray), _from_array),
    (lambda values: isinstance(values, list | tuple), _from_list),
    (lambda values: isinstance(values, Mapping), _from_columns),
    (lambda values: isinstance(values, Image.Image), _from_image),
    (lambda values: hasattr(values, "__arrow_c_stream__") and hasattr(values, "columns"), _from_arrow),
    # Arrays of other libraries: JAX, TensorFlow, h5py, xarray. Numpy texts have it as well.
    (lambda values: hasattr(values, "__array__") and not _is_text(values), _from_array),
)
"""Pairs of a test and a reader; the first matching pair is used."""
