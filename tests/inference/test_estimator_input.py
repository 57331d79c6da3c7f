"""Rows and parameters that the estimator accepts or refuses."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from estimator_rows import X
from lowerbound.estimator import VAE


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"num_epochs": -1}, r"^num_epochs is -1; it needs an integer of at least 1\.$"),
        ({"num_epochs": 2.5}, "^num_epochs is 2.5; "),
        ({"latent_dim": 2.0}, "^latent_dim is 2.0; "),
        ({"latent_dim": 0}, "^latent_dim is 0; "),
        ({"latent_dim": True}, "^latent_dim is True; "),
        ({"batch_size": 0}, "^batch_size is 0; "),
        ({"hidden": 64}, r"^hidden is 64; it needs a sequence of widths, .* such as \(128,\)"),
        ({"hidden": "64"}, "^hidden is '64'; "),
        ({"hidden": (8, 0)}, "^hidden is "),
        ({"learning_rate": 0}, "^learning_rate is 0; it needs a finite number above 0"),
        ({"learning_rate": np.nan}, "^learning_rate is nan; "),
        ({"learning_rate": "fast"}, "^learning_rate is 'fast'; "),
        ({"likelihood": "gausian"}, "^unknown likelihood 'gausian'; did you mean 'gaussian'"),
        ({"likelihood": None}, "^likelihood is None; "),
        ({"random_state": "seed"}, "^random_state is 'seed'; "),
    ],
)
@pytest.mark.parametrize("start", ["fit", "partial_fit"])
def test_a_parameter_that_is_not_accepted_is_named_in_one_line(parameters, message, start):
    with pytest.raises(ValueError, match=message) as caught:
        getattr(VAE(**parameters), start)(X)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_are_accepted_as_parameters():
    model = VAE(latent_dim=np.int64(3), hidden=np.array([8, 8]), num_epochs=np.int32(2), learning_rate=np.float32(1e-3))
    assert clone(model).fit(X).transform(X).shape == (200, 3)
    search = GridSearchCV(VAE(num_epochs=1), {"batch_size": np.array([16, 32])}, cv=2, error_score="raise").fit(X)
    assert search.best_params_["batch_size"] in (16, 32)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X[0], "does not have two dimensions"),
        ([["secret"]], "contains text"),
        (X * 1j, "Complex data not supported; pass real numbers"),
        (np.where(X > 20, np.nan, X), "contains NaN; only likelihood='table' accepts"),
        (sparse.csr_matrix((10**6, 10**5)), "takes 745 GiB as a dense array, .* TruncatedSVD"),
    ],
)
def test_rows_that_are_not_accepted_are_refused_in_one_line_without_the_data(rows, message):
    with pytest.raises(ValueError, match=message) as caught:
        VAE(likelihood="gaussian").fit(rows)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
