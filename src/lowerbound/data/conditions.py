"""Conditions: labels or columns that a conditional model is given, as numbers; missing and unknown ones are refused.

The context of an example has one number for each condition: the position of its level, or the number itself. Training
takes conditions out of the data's labels and columns; all later data are read by the conditions of the run's schema.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lowerbound.data.cells import python_scalar
from lowerbound.data.examples import Collection, Context, Examples, Given
from lowerbound.data.labelled_subset import with_labels_of
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import printable, refuse
from lowerbound.data.splits import Splits, checksum
from lowerbound.data.table_examples import parse_cells, parse_rows
from lowerbound.data.table_schema import infer_table_schema
from lowerbound.data.tables import Cell, RawTable, TableOptions, quoted_list
from lowerbound.foundation.errors import ConfigError, SchemaError, UsageError
from lowerbound.foundation.schema import Column, Schema
from lowerbound.foundation.text import pluralise

LABEL = "label"
"""The condition that stands for the examples' labels, wherever they come from."""

NO_LABEL = "(none)"
SETTING = "model.condition_on"

Values = Mapping[str, Any]
"""Values by the name of a condition: one for all examples, or a sequence with one for each."""


def conditioned(
    splits: Splits, names: Sequence[str], *, infers: bool = False, num_labelled: int = 0, seed: int = 0
) -> Splits:
    """The splits of a conditional model: what it is given is taken out of x and kept beside it.

    `names` are "label", columns of a table, or factors that came with the data. A model that `infers` the only one may
    lack it, as NaN; of its training examples only `num_labelled` keep it, if that is not 0. ConfigError for a name that
    the data do not have, DataError for an example without it.
    """
    if num_labelled and not infers:
        raise ConfigError(
            f"data.num_labelled is {num_labelled}, and no part of the model infers the other labels; set "
            "model.classifier=true."
        )
    if not names:
        return splits
    found = _conditioned(splits, names, infers)
    return with_labels_of(found, num_labelled, seed) if num_labelled else found


def _conditioned(splits: Splits, names: Sequence[str], infers: bool) -> Splits:
    if splits.schema is None:
        raise ConfigError(f"{SETTING} needs data with a schema; read them with lowerbound.load_data.")
    if splits.schema.conditions:  # read by a schema that has them
        return splits
    if infers and splits.train.is_on_disk:
        raise ConfigError("model.classifier needs data in memory, which packed data are not; read the original files.")
    columns = tuple(_condition(splits, name, infers) for name in names)
    if splits.train.is_on_disk:
        return _with_labels_on_disk(splits, columns)
    schema = replace(_without(splits.schema, columns), infers=infers)
    train, validation, test = (
        _with_context(part, columns, splits, infers) for part in (splits.train, splits.validation, splits.test)
    )
    if infers:
        _check_has_some(train, columns[0], splits)
    digest = checksum((train, validation, test))
    return replace(splits, train=train, validation=validation, test=test, schema=schema, checksum=digest)


def _condition(splits: Splits, name: str, infers: bool) -> Column:
    schema = splits.schema
    assert schema is not None
    named = {column.name: column for column in schema.columns} if schema.has_named_columns else {}
    if name in named and name != schema.label:
        if infers and not named[name].levels:
            raise ConfigError(f"model.classifier infers levels, and column {name!r} is {named[name].kind}.")
        return named[name]
    of_factor = _of_factor(splits, name)
    if name in (LABEL, schema.label) and name and not (of_factor and not splits.label_names):
        if not splits.label_names:
            raise ConfigError(
                f"{SETTING}={name} needs labels, and there are none in {splits.name}; give them (data.labels)."
            )
        names = tuple(level for level in splits.label_names if not (infers and level == NO_LABEL))
        return Column(name=schema.label or LABEL, kind="categorical", levels=names)
    if of_factor:
        if infers and not of_factor.levels:
            raise ConfigError(f"model.classifier infers levels, and factor {name!r} is {of_factor.kind}.")
        return of_factor
    if name in schema.left_out:
        why = "has the same value in every row, or was excluded"
        raise ConfigError(f"{SETTING} names {name!r}, which {why}, so that it is not read; leave it out.")
    factors = () if splits.train.factors is None else splits.train.factors.names
    accepted = quoted_list([*([LABEL] if splits.label_names else []), *named, *factors])
    accepted = accepted or "none, for these data have no labels"
    raise ConfigError(f"{SETTING} names {name!r}, which is not in {splits.name}; accepted: {accepted}.")


def _of_factor(splits: Splits, name: str) -> Column | None:
    """A factor as a column: numbers or levels, as in a table; None if there is no factor of this name."""
    if splits.train.factors is None or name not in splits.train.factors.names:
        return None
    parts = (splits.train, splits.validation, splits.test)
    cells = [cell for part in parts if part.factors is not None for cell in part.factors.cells(name)]
    if len(set(cells)) == 1:
        raise ConfigError(f"{SETTING} names {name!r}, which has the same value for every example; leave it out.")
    (column,) = infer_table_schema(RawTable(splits.name, {name: cells}), TableOptions()).columns
    return column


def _with_labels_on_disk(splits: Splits, columns: tuple[Column, ...]) -> Splits:
    """Packed data: the labels are read with the examples."""
    assert splits.schema is not None
    if [column.name for column in columns] != [splits.schema.label or LABEL]:
        raise ConfigError(f"packed data can be conditioned on their labels alone; set {SETTING}={LABEL}.")
    _check_labels(splits)
    return replace(splits, schema=replace(splits.schema, conditions=columns))


def _check_labels(splits: Splits) -> None:
    if NO_LABEL in splits.label_names:
        refuse(
            splits.name,
            f"has examples without a label, which a model with {SETTING}={LABEL} cannot be given; label them, remove "
            "them, or set model.classifier=true, which infers them",
        )


def _check_has_some(train: Examples, column: Column, splits: Splits) -> None:
    """DataError for training examples of which none has a label, or a level none."""
    assert train.context is not None
    counts = [int((train.context[:, 0] == level).sum()) for level in range(column.num_levels)]
    if not column.levels or not min(counts):
        what = f"the {column.name} {column.levels[counts.index(0)]!r}" if column.levels else f"a {column.name}"
        refuse(splits.name, f"has no training example with {what}; model.classifier needs some of every level")


def _with_context(examples: Examples, columns: Sequence[Column], splits: Splits, infers: bool = False) -> Examples:
    names = [column.name for column in examples.columns]
    context = np.empty((len(examples), len(columns)), np.float32)
    for index, column in enumerate(columns):
        if column.name in names:
            context[:, index] = examples.values[:, names.index(column.name)]
        elif examples.factors is not None and column.name in examples.factors.names:
            cells = {column.name: examples.factors.cells(column.name)}
            context[:, index] = parse_rows(RawTable(splits.name, cells), (column,))[:, 0]
        else:
            positions = np.asarray(examples.labels)
            if not infers:
                _check_labels(splits)
            elif column.num_levels < len(splits.label_names):  # "(none)" comes last
                positions = np.where(positions < column.num_levels, positions, np.nan)
            context[:, index] = positions
        num_missing = int(np.isnan(context[:, index]).sum())
        if num_missing and not infers:
            came = f"{pluralise(num_missing, 'missing cell')} in column {column.name!r} of one of its splits"
            refuse(splits.name, f"has {came}, and {SETTING} needs every one; fill them, or remove their rows")
    given = {column.name for column in columns}
    factors = None if examples.factors is None else examples.factors.without(given)
    examples = replace(examples, context=context, factors=factors)
    kept = [index for index, name in enumerate(names) if name not in given]
    if len(kept) == len(names):
        return examples
    left = tuple(examples.columns[index] for index in kept)
    return replace(examples, stored=np.ascontiguousarray(examples.values[:, kept]), columns=left)


def _without(schema: Schema, columns: Sequence[Column]) -> Schema:
    """The schema whose x does not contain the conditions."""
    given = {column.name for column in columns}
    kept = tuple(column for column in schema.columns if column.name not in given)
    if schema.columns and not kept:
        raise ConfigError(f"{SETTING} names every column; at least one has to be left for x.")
    shape = (len(kept),) if schema.columns else schema.shape
    return replace(schema, columns=kept, shape=shape, conditions=tuple(columns))


def given_in_array(raw: RawArray, schema: Schema, given: Values) -> Given:
    """The context of the examples of an array or of images, by their labels and factors; `given` replaces these."""
    if not schema.conditions:
        resolved(schema, given)
        return Given()
    label = schema.label or LABEL
    texts = [None if text is None else printable(text) for text in raw.labels or ()]
    table = RawTable(raw.place, {**_cells_of_factors(raw), **({label: texts} if texts else {})})

    def where(row: int) -> str:
        return f"{raw.place}: {raw.ids[row] if raw.ids else f'example {row}'}"

    return _read(table, schema, given, raw.num_rows, where)


def given_in_table(table: RawTable, schema: Schema, given: Values) -> Given:
    """The context of the rows of a table, by its columns and factors; `given` replaces these."""
    table = replace(table, columns={**table.columns, **_cells_of_factors(table)})
    return _read(table, schema, given, table.num_rows, table.where)


def _cells_of_factors(raw: RawArray | RawTable) -> dict[str, list[Cell]]:
    return {name: list(cells) for name, cells in (raw.factors or {}).items()}


def context_rows(schema: Schema, given: Values, num: int) -> Context:
    """The context of `num` examples from the values of each condition; UsageError if one is missing, SchemaError for
    an unknown level.
    """
    found = _read(RawTable("", {}), schema, given, num, lambda row: f"example {row}")
    if found.problems:
        raise SchemaError(f"{next(iter(found.problems.values()))}.")
    assert found.context is not None
    return found.context


def replaced_context(collection: Collection, schema: Schema, given: Values) -> Collection:
    """Examples that were read with their own context, with other values for some or all of its conditions."""
    if not given:
        return collection
    given, examples = resolved(schema, given), collection.examples
    own = np.asarray(examples.given, np.float32)
    is_inferred = examples.inferred if len(given) < len(schema.conditions) else None
    context = own.reshape(len(examples), -1).copy()
    for index, column in enumerate(schema.conditions):
        if column.name in given:
            alone = replace(schema, conditions=(column,))
            context[:, index] = context_rows(alone, {column.name: given[column.name]}, len(examples))[:, 0]
    return replace(collection, examples=replace(examples, context=context, inferred=is_inferred))


def resolved(schema: Schema, given: Values) -> dict[str, Any]:
    """Values by the names of conditions; "label" also stands for a column of labels with another name.

    UsageError for a value for something that the model is not conditional on.
    """
    known = [column.name for column in schema.conditions]
    found = {}
    for name, value in given.items():
        key = schema.label if name == LABEL and schema.label in known and name not in known else name
        if key not in known and isinstance(value, str):  # of a name that contains "=", cut at the first one
            whole = f"{name}={value}"
            key = next((one for one in known if whole.startswith(f"{one}=")), key)
            value = whole[len(key) + 1 :] if key in known else value
        if key not in known:
            about = f"it is conditional on {quoted_list(known)}" if known else "it is not conditional"
            raise UsageError(f"a value of {name!r} is given, which the model does not take: {about}.")
        found[key] = value
    return found


def _read(table: RawTable, schema: Schema, given: Values, num_rows: int, where: Callable[[int], str]) -> Given:
    values = resolved(schema, given)
    if not schema.conditions:
        return Given()
    absent = [column.name for column in schema.conditions if column.name not in {*table.columns, *values}]
    if absent and schema.infers and table.place:
        return Given(np.full((num_rows, 1), np.nan, np.float32))
    if absent:
        raise UsageError(
            f"the model is conditional on {quoted_list(absent)}, "
            + (f"which {table.place} lacks; give it with the data, or a value" if table.place else "so give a value")
            + " for all examples.",
            hint="given",
        )
    cells = {name: _cells(name, value, num_rows) for name, value in values.items()}
    read = replace(table, columns={**table.columns, **cells})
    context = np.empty((num_rows, len(schema.conditions)), np.float32)
    problems: dict[int, str] = {}
    for index, column in enumerate(schema.conditions):
        one = replace(schema, layout="table", shape=(1,), columns=(column,))
        numbers, unreadable = parse_cells(read, one, [column.name])
        context[:, index] = numbers[:, 0]
        for row in np.flatnonzero(np.isnan(numbers[:, 0])).tolist():
            if schema.infers and row not in unreadable:
                continue
            reason = f"{where(row)} {_reason(read, column, row, unreadable)}"
            if column.name in values:  # not the fault of single rows
                is_one = len({str(cell) for cell in cells[column.name]}) == 1
                raise SchemaError(
                    f"{'a value is given that is ' + reason.partition(' has ')[2] if is_one else reason}."
                )
            problems.setdefault(row, reason)
    context[list(problems)] = 0.0  # of rows that are skipped, which networks see without being read
    return Given(context, problems)


def _cells(name: str, value: Any, num_rows: int) -> list[Cell]:
    """One value for all rows, or those of a sequence for each."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [python_scalar(value)] * num_rows
    cells = [python_scalar(cell) for cell in value]
    check_one_for_each(name, cells, num_rows)
    return cells


def check_one_for_each(name: str, values: Sequence[Any], num: int) -> None:
    """UsageError unless there is one value of a condition for each of `num` examples."""
    if len(values) != num:
        raise UsageError(f"{pluralise(len(values), 'value')} of {name!r} given for {num:,} examples.")


def _reason(table: RawTable, column: Column, row: int, unreadable: Mapping[int, str]) -> str:
    cell = repr(table.columns[column.name][row])[:60]
    came = f"the {column.name} {cell}, which the model does not know" if row in unreadable else f"no {column.name}"
    return f"has {came}; accepted: {quoted_list(column.levels) if column.levels else 'finite numbers below 1e18'}"
