"""Quantities of examples: each is a number of the results, the data or the factors, at its example's place."""

import numpy as np
import pytest
from safetensors.numpy import load as read_tensors

from explorer_runs import every_example, info, tensors
from lowerbound.foundation.errors import DataError
from lowerbound.serving.explorer.points import load_points
from lowerbound.serving.explorer.quantities import quantities_of, values_of


def values(client, run, name):
    return tensors(client.get(f"/api/runs/{run}/values", params={"name": name}))["values"]


def test_scores_of_the_results_belong_to_the_test_examples(client, folder):
    found, about = values(client, "digits", "elbo"), info(client, "digits")
    stored = read_tensors((folder / "digits" / "results.safetensors").read_bytes())
    count = about["splits"][-1]["count"]
    np.testing.assert_array_equal(found[-count:], stored["elbo_per_image"])
    assert np.isnan(found[:-count]).all()
    (elbo,) = [one for one in about["quantities"] if one["name"] == "elbo"]
    assert (elbo["title"], elbo["unit"], elbo["split"]) == ("ELBO", "nats", "test")


def test_columns_are_the_cells_of_the_table(client, folder):
    x, _ = every_example(folder / "table")
    titles = {one["title"]: one for one in info(client, "table")["quantities"]}
    kind = values(client, "table", titles["kind"]["name"])
    assert [titles["kind"]["levels"][int(value)] for value in kind] == ["abc"[int(row)] for row in x[:, 1]]
    np.testing.assert_allclose(values(client, "table", titles["length"]["name"]), x[:, 0], rtol=1e-5)


def test_without_its_data_a_run_has_the_scores_of_its_results(client):
    assert len(values(client, "gone", "rate")) == 4
    assert "column" not in str(info(client, "gone")["quantities"])


@pytest.mark.parametrize("name", ["", "column:0", "factor:0", "labels", "elbo_per_image"])
def test_an_unknown_quantity_is_refused(client, name):
    answer = client.get("/api/runs/digits/values", params={"name": name})
    assert answer.status_code == 404
    assert f"no quantity '{name}'" in answer.json()["error"]


def test_factors_are_the_levels_of_the_examples(loaded):
    from dataclasses import replace

    from lowerbound.data.factors import Factors

    points = load_points(loaded)
    parts = []
    for part in points.parts:
        codes = np.arange(len(part))[:, None] % 3
        parts.append(replace(part, factors=Factors(("size",), (("small", "middle", "large"),), codes)))
    known = replace(points, parts=tuple(parts))
    (size,) = [one for one in quantities_of(loaded, known) if one.title == "size"]
    assert size.levels == ("small", "middle", "large")
    np.testing.assert_array_equal(values_of(loaded, known, size.name)[:5], [0, 1, 2, 0, 1])
    with pytest.raises(DataError, match="no quantity 'factor:1'"):
        values_of(loaded, known, "factor:1")
