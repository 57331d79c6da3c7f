"""The estimator keeps scikit-learn's contract and agrees with the model inside it."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from lowerbound.estimator import VAE

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(200, 2))
X = CODES @ RNG.normal(size=(2, 6)) * 3 + 10 + 0.1 * RNG.normal(size=(200, 6))


@pytest.fixture(scope="module")
def fitted():
    return VAE(hidden=(32,), num_epochs=150, batch_size=32).fit(X)


def test_scikit_learns_own_checks_pass():
    check_estimator(VAE(hidden=(8,), num_epochs=20))


def test_codes_keep_what_principal_components_keep(fitted):
    rebuilt = fitted.inverse_transform(fitted.transform(X))
    left = ((rebuilt - X) ** 2).mean() / X.var(axis=0).mean()
    of_pca = PCA(2).fit(X)
    floor = ((of_pca.inverse_transform(of_pca.transform(X)) - X) ** 2).mean() / X.var(axis=0).mean()
    assert floor < left < 0.1


def test_scores_are_the_elbo_in_the_datas_own_unit(fitted):
    # Scaling the data scales the density by the Jacobian, 6 log 10.
    scaled = VAE(hidden=(32,), num_epochs=150, batch_size=32).fit(10 * X)
    assert_allclose(scaled.score_samples(10 * X), fitted.score_samples(X) - 6 * np.log(10), atol=0.5)
    strange = np.full((1, 6), 300.0)
    assert fitted.score_samples(strange)[0] < fitted.score_samples(X).min()
    assert fitted.score(X) == pytest.approx(fitted.score_samples(X).mean())


def test_draws_look_like_the_data(fitted):
    drawn = fitted.sample(2000)
    assert drawn.shape == (2000, 6)
    assert_allclose(drawn.mean(0), X.mean(0), atol=1.0)
    assert_allclose(drawn.std(0) / X.std(0), 1, atol=0.35)


def test_a_row_is_scored_alike_whoever_stands_beside_it(fitted):
    assert_allclose(fitted.score_samples(X[3:4]), fitted.score_samples(X)[3:4], rtol=1e-12)


def test_partial_fit_goes_on_from_where_it_stands():
    model = VAE(hidden=(32,))
    before = model.partial_fit(X).score(X)
    for _ in range(60):
        model.partial_fit(X)
    assert model.n_iter_ == 61 and model.score(X) > before + 1


def test_binary_rows_get_a_bernoulli_and_missing_cells_a_table():
    ones = (RNG.random((50, 6)) < 0.3).astype(float)
    assert VAE(num_epochs=2).fit(ones).model_.config.likelihood == "bernoulli"
    holes = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
    model = VAE(num_epochs=2, likelihood="table").fit(holes)
    assert np.isfinite(model.score_samples(holes)).all() and np.isfinite(model.transform(holes)).all()
    with pytest.raises(ValueError, match="contains NaN"):
        VAE().fit(holes)


def test_what_cannot_be_is_a_value_error():
    with pytest.raises(ValueError, match=r"data lie in .* needs"):
        VAE(likelihood="bernoulli").fit(X)
    with pytest.raises(ValueError, match="latent_dim"):
        VAE(latent_dim=0).fit(X)


def test_it_takes_part_in_pipelines_and_searches_without_touching_the_global_generator():
    state = torch.random.get_rng_state()
    search = GridSearchCV(VAE(num_epochs=3), {"latent_dim": [1, 2]}, cv=2)
    make_pipeline(StandardScaler(), search).fit(X)
    assert search.best_params_["latent_dim"] in (1, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
