"""An exported file says how stored numbers become what it takes."""

import json
from dataclasses import replace

import pytest

from lowerbound.model import ModelConfig, build_model
from lowerbound.schema import Column, Schema, Support
from lowerbound.seeding import generator
from lowerbound.serving.portable.about import about_run
from lowerbound.trained_model import TrainedModel
from portable_models import written_run


@pytest.mark.parametrize(
    ("schema", "layout"),
    [
        (Schema(layout="array", shape=(3,), dtype="int64", range=(-5.0, 5.0)), "float32, x = (stored + 5) / 10"),
        (
            Schema(layout="array", shape=(3,), dtype="float64", offset=(1e9, 0.0, 0.0)),
            "float32, values in the data's own unit, x = stored - offset",
        ),
    ],
)
def test_how_stored_numbers_become_x_is_said_of_every_kind(tmp_path_factory, schema, layout):
    run = written_run(tmp_path_factory.mktemp("portable") / "run")
    model = build_model(ModelConfig(likelihood="gaussian"), (3,), generator(0, "weights"))
    schema = replace(schema, support=Support(0.0, 1.0))
    about = about_run(run, TrainedModel(model, schema))
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
    about = about_run(written_run(tmp_path / "run"), TrainedModel(model, schema))
    assert about["layout"].startswith("batch × column; float32, cells in their column's own unit less its offset")
    stored = json.loads(about["schema"])["columns"]
    assert [(column["name"], column["offset"], column["levels"]) for column in stored] == [
        ("year", 2e9, []),
        ("town", 0.0, ["Bonn", "Kö"]),
    ]
