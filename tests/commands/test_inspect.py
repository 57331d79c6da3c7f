"""Commands that look and list."""

import json

from command_line import in_process


def test_summary_counts_the_parameters_of_the_reference_networks(capsys):
    conv = in_process(capsys, "summary", "tutorial-conv").out
    for number in ("69,076", "65,089", "134,165"):
        assert number in conv
    assert "of 28×28 pixels with 1 channel, 2 latents" in conv
    dense = in_process(capsys, "summary", "dense").out
    assert "403,972" in dense
    assert "403,728" in dense


def test_summary_as_json_and_for_other_sizes(capsys):
    about = json.loads(in_process(capsys, "summary", "conv", "--size", "9x5", "--channels", 3, "--json").out)
    assert about["decoder"][-1]["output_shape"] == [3, 5, 9]
    assert about["num_parameters"] == sum(row["num_parameters"] for row in about["encoder"] + about["decoder"])


def test_lists_of_recipes_and_data(capsys):
    assert "tutorial-conv" in in_process(capsys, "recipes").out
    assert set(json.loads(in_process(capsys, "recipes", "--json").out)) >= {"dense", "conv", "tutorial-dense"}
    sources = json.loads(in_process(capsys, "data", "--json").out)["sources"]
    assert {"name", "shape", "range", "sizes", "origin", "licence"} == set(sources[0])
