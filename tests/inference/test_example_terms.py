"""Terms of each example in Parquet files are those that an evaluation averages."""

import numpy as np
import pytest
from pyarrow import parquet

import lowerbound as lb
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.foundation.errors import ConfigError
from lowerbound.inference.example_terms import write_example_terms

SMALL = {"model": {"hidden": [8]}, "evaluation": {"num_draws": 2, "num_exact": 4, "manifold_sizes": [2]}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return lb.train("digits", latent_dim=2, epochs=1, settings=SMALL, out=tmp_path_factory.mktemp("runs") / "run")


def test_terms_are_those_of_the_evaluation(run, tmp_path):
    written = write_example_terms(run, [], tmp_path / "terms", num_draws=3, seed=5)
    table = parquet.read_table(tmp_path / "terms" / "part-00000.parquet")
    test = lb.load_data(lb.DataConfig(source="digits")).test
    expected = expected_terms(run.model.vae, test, 3, 5)
    assert (written.num_rows, table["id"].to_pylist()) == (360, list(range(360)))
    for name in ("elbo", "rate", "distortion", "squared_error"):
        np.testing.assert_array_equal(table[name].to_numpy(), getattr(expected, name).numpy())
    np.testing.assert_allclose(table["elbo"].to_numpy(), -table["rate"].to_numpy() - table["distortion"].to_numpy())


def test_fewer_than_one_draw_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="need at least 1 draw, got 0"):
        write_example_terms(run, [], tmp_path / "terms", num_draws=0)
    assert not (tmp_path / "terms").exists()
