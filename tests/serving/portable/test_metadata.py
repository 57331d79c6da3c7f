"""An exported file says how stored numbers become what it takes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.data.array_examples import conform_array
from lowerbound.data.batches import scaled
from lowerbound.data.raw_array import RawArray
from lowerbound.foundation.schema import Column, Schema, Support
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.runs.trained_model import TrainedModel
from lowerbound.serving.portable.metadata import run_metadata, schema_metadata
from portable_models import written_run

DOCUMENT = Path(__file__).parents[3] / "docs" / "export.md"


@pytest.mark.parametrize(
    ("schema", "layout"),
    [
        (Schema(layout="array", shape=(3,), dtype="int64", range=(-5.0, 5.0)), "float32, x = (stored + 5) / 10"),
        (
            Schema(layout="array", shape=(3,), dtype="float64", offset=(1e9, 0.0, 0.0)),
            "float32, values in the data's unit, x = stored - offset",
        ),
    ],
)
def test_how_stored_numbers_become_x_is_said_of_every_kind(tmp_path_factory, schema, layout):
    run = written_run(tmp_path_factory.mktemp("portable") / "run")
    model = build_model(ModelConfig(likelihood="gaussian"), (3,), generator(0, "weights"))
    schema = replace(schema, support=Support(0.0, 1.0))
    about = run_metadata(run, TrainedModel(model, schema))
    assert about["layout"] == f"batch × the axes of an example; {layout}"
    stored = json.loads(about["schema"])
    assert (stored["range"], stored["offset"]) == (list(schema.range), list(schema.offset))


def test_a_table_says_the_offsets_of_its_columns(tmp_path):
    columns = (
        Column(name="year", kind="numeric", offset=2e9),
        Column(name="town", kind="binary", levels=("Bonn", "Kö")),
    )
    schema = Schema(layout="table", shape=(2,), dtype="", columns=columns, support=Support(0.0, 1.0))
    model = build_model(ModelConfig(likelihood="table"), (2,), generator(0, "weights"), columns=columns)
    about = run_metadata(written_run(tmp_path / "run"), TrainedModel(model, schema))
    assert about["layout"].startswith("batch × column; float32, cells in their column's unit minus its offset")
    stored = json.loads(about["schema"])["columns"]
    assert [(column["name"], column["offset"], column["levels"]) for column in stored] == [
        ("year", 2e9, []),
        ("town", 0.0, ["Bonn", "Kö"]),
    ]


@pytest.mark.parametrize(
    ("stored", "schema"),
    [
        (np.arange(64, dtype=np.uint8).reshape(1, 4, 8, 2) // 4, {"layout": "image", "range": (0.0, 16.0)}),
        (np.array([[-3, 5, 0]], np.int16), {"layout": "array", "range": (-5.0, 5.0)}),
        (np.array([[1e9 + 0.25, -2.0, 0.5]]), {"layout": "array", "offset": (1e9, 0.0, 0.0)}),
        (
            np.array([[2e9 + 0.25, np.nan]]),
            {
                "layout": "table",
                "columns": (Column(name="0", kind="numeric", offset=2e9), Column(name="1", kind="numeric")),
            },
        ),
    ],
)
def test_the_lines_of_the_documentation_turn_stored_numbers_into_what_the_model_sees(stored, schema):
    known = Schema(shape=stored.shape[1:], dtype=stored.dtype.name, **schema)
    (lines,) = re.findall(r"```python\n(schema = json.loads.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    names = {"json": json, "np": np, "stored": stored, "about": {"schema": json.dumps(schema_metadata(known))}}
    exec(lines, names)
    expected = scaled(conform_array(RawArray(place="the array", values=stored), known).examples)
    torch.testing.assert_close(torch.from_numpy(names["x"]), expected, rtol=1e-6, atol=0, equal_nan=True)
