"""Conditions of new data come from a table: in order, or by the names of images; what does not fit is named."""

import numpy as np
import pytest

import lowerbound as lb
from lowerbound.data.raw_array import RawArray
from lowerbound.data.tables import RawTable
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.foundation.schema import Column, Schema
from lowerbound.inference import tasks
from lowerbound.runs.condition_tables import values_of, with_conditions_of
from lowerbound.runs.inputs import InputOptions, read_inputs

SCHEMA = Schema(
    layout="array",
    shape=(2,),
    dtype="float32",
    conditions=(Column(name="dose", kind="numeric"), Column(name="site", kind="binary", levels=("a", "b"))),
)
TEXT = "dose,site,other\n0.5,a,\n1.5,b,7\n2,a,x\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "given.csv"
    path.write_text(TEXT)
    return path


def test_rows_belong_to_examples_in_order_and_other_columns_are_not_used(table):
    assert values_of(table, SCHEMA) == {"dose": ["0.5", "1.5", "2"], "site": ["a", "b", "a"]}
    raw = with_conditions_of(table, RawArray(place="x", values=np.zeros((3, 2))), SCHEMA)
    assert raw.factors == values_of(table, SCHEMA, 3)
    rows = with_conditions_of(table, RawTable("rows", {"site": ["b"] * 3, "x": [1.0] * 3}), SCHEMA)
    assert rows.factors["site"] == ["a", "b", "a"]


def test_rows_with_names_belong_to_images_of_these_names(tmp_path):
    path = tmp_path / "given.csv"
    path.write_text("file,dose\nb.png,2\na.png,1\n")
    images = RawArray(place="photos", values=np.zeros((2, 2)), ids=("a.png", "b.png"))
    assert with_conditions_of(path, images, SCHEMA).factors == {"dose": ["1", "2"]}
    with pytest.raises(DataError, match=r"has no row for c\.png; give one for every image"):
        with_conditions_of(path, RawArray(place="photos", values=np.zeros((1, 2)), ids=("c.png",)), SCHEMA)


def test_an_array_has_numbered_columns(tmp_path):
    np.save(tmp_path / "given.npy", np.array([[1.0], [2.0]]))
    schema = Schema(layout="array", shape=(2,), dtype="", conditions=(Column(name="factor 1", kind="numeric"),))
    assert values_of(tmp_path / "given.npy", schema, 2) == {"factor 1": [1.0, 2.0]}


def test_what_does_not_fit_is_named(table, tmp_path):
    with pytest.raises(UsageError, match="3 values of 'dose' given for 4 examples"):
        values_of(table, SCHEMA, 4)
    with pytest.raises(DataError, match=r"none.csv does not exist"):
        values_of(tmp_path / "none.csv", SCHEMA, 4)
    for conditions, about in (((Column(name="age", kind="numeric"),), "conditional on 'age'"), ((), "not conditional")):
        schema = Schema(layout="array", shape=(2,), dtype="", conditions=conditions)
        with pytest.raises(
            UsageError, match=f"has 'dose', 'site', 'other', which the model does not take: it is {about}"
        ):
            values_of(table, schema)


def test_every_door_of_a_model_reads_the_table(tmp_path):
    noise = np.random.default_rng(3)
    x, dose = noise.normal(size=(60, 3)).astype(np.float32), noise.uniform(0, 1, 60)
    settings = {"model": {"condition_on": ["dose"], "hidden": [8]}, "evaluation": {"after_training": False}}
    np.save(tmp_path / "all.npy", x)
    (tmp_path / "all.csv").write_text("site,dose\n" + "".join(f"{'ab'[i % 2]},{d}\n" for i, d in enumerate(dose)))
    settings["data"] = {"factors": [str(tmp_path / "all.csv")]}
    lb.train(tmp_path / "all.npy", settings=settings, latent_dim=2, epochs=1, out=tmp_path / "run")
    trained = lb.load(tmp_path / "run")
    np.save(tmp_path / "x.npy", x[:2])
    (tmp_path / "two.csv").write_text(f"dose\n{dose[0]}\n{dose[1]}\n")
    options = InputOptions(given_table=tmp_path / "two.csv")
    read = read_inputs(trained, [str(tmp_path / "x.npy")], options).examples
    np.testing.assert_allclose(read.context[:, 0], dose[:2], rtol=1e-6)
    with pytest.raises(UsageError, match="2 values of 'dose' given for 6 examples"):  # of the run's own test examples
        read_inputs(trained, [], options)
    path = tasks.sample(tmp_path / "run", out=tmp_path / "s.csv", given_table=tmp_path / "two.csv")
    assert len(path.read_text().splitlines()) == 3
    np.testing.assert_array_equal(
        np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32), trained.generate(2, given={"dose": dose[:2]})
    )
