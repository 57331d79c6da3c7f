"""What the explorer says of a run."""

import json

import pytest

from explorer_runs import every_example, info
from lowerbound.training.checkpoint import load_model


def test_a_run_is_described_as_its_model_is(client, run):
    model, about = load_model(run), info(client, run.name)
    assert about["event_shape"] == list(model.event_shape)
    assert about["latent_dim"] == model.latent_dim
    assert about["likelihood"] == model.config.likelihood
    assert about["is_deterministic"] == (run.name == "plain") == (not about["can"]["sample"])
    assert about["num_parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert about["can"]["encode"] == (about["layout"] == "image") == (about["image"] is not None)
    assert about["num_codes"] == sum(split["count"] for split in about["splits"]) == len(every_example(run)[0])
    assert len(about["axes"]) == min(2, model.latent_dim)
    assert all(0 <= axis < model.latent_dim for axis in about["axes"])
    assert (about["title"], about["state"], about["has_report"]) == (run.name, "finished", False)


@pytest.mark.parametrize(
    ("name", "convention", "data"),
    [
        ("digits", "grey", "digits"),
        ("dynamic", "dynamic binarisation, seed 0", "digits"),
        ("colour", "levels", "squares"),
        ("table", "table", "things.csv"),
        ("array", "density", "vectors.npy"),
    ],
)
def test_numbers_carry_their_convention_and_data_their_name(client, folder, name, convention, data):
    about = info(client, name)
    assert (about["convention"], about["data"]["name"]) == (convention, data)
    assert about["convention_note"]
    scores = json.loads((folder / name / "results.json").read_text())["scores"]
    assert [score["name"] for score in about["scores"]] == [score["name"] for score in scores]
    elbo = about["scores"][0]
    assert (elbo["quantity"], elbo["split"]) == ("ELBO", "test")
    assert elbo["value"].endswith(" nats")
    assert " ± " in elbo["value"]
    assert str(folder.parent) not in json.dumps(about)


def test_columns_and_labels_have_their_names(client):
    columns = [(column["name"], column["kind"], column["levels"]) for column in info(client, "table")["columns"]]
    assert columns[:2] == [("length", "numeric", []), ("kind", "categorical", ["a", "b", "c"])]
    assert info(client, "colour")["label_names"] == ["cold", "warm"]
    assert info(client, "digits")["label_names"] == list("0123456789")
    assert info(client, "array")["columns"] is None
