"""The estimator keeps scikit-learn's contract and agrees with the model inside it."""

import pickle
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from estimator_rows import CODES, RNG, X
from lowerbound.estimator import VAE
from lowerbound.foundation.seeding import generator


@pytest.fixture(scope="module")
def fitted():
    return VAE(hidden=(32,), num_epochs=150, batch_size=32).fit(X)


@parametrize_with_checks([VAE(hidden=(8,), num_epochs=2)])
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


def test_codes_keep_what_principal_components_keep(fitted):
    rebuilt = fitted.inverse_transform(fitted.transform(X))
    left = ((rebuilt - X) ** 2).mean() / X.var(axis=0).mean()
    of_pca = PCA(2).fit(X)
    floor = ((of_pca.inverse_transform(of_pca.transform(X)) - X) ** 2).mean() / X.var(axis=0).mean()
    assert floor < left < 0.1


def test_scores_are_the_elbo_in_the_datas_own_unit(fitted):
    strange = np.full((1, 6), 300.0)
    assert fitted.score_samples(strange)[0] < fitted.score_samples(X).min()
    assert fitted.score(X) == pytest.approx(fitted.score_samples(X).mean())


@pytest.mark.parametrize("likelihood", ["gaussian", "gaussian-per-element", "table"])
@pytest.mark.parametrize("unit", [1e-200, 1e-20, 3.7, 1e20, 1e200])
def test_another_unit_changes_scores_by_the_jacobian_alone_and_codes_not_at_all(likelihood, unit):
    rows = np.where(RNG.random(X.shape) < 0.1, np.nan, X) if likelihood == "table" else X
    ours = VAE(likelihood=likelihood, num_epochs=3).fit(rows)
    other = VAE(likelihood=likelihood, num_epochs=3).fit(rows * unit)
    num_known = (~np.isnan(rows)).sum(axis=1)
    expected = ours.score_samples(rows) - num_known * np.log(unit)
    assert_allclose(other.score_samples(rows * unit), expected, rtol=1e-9)
    assert_allclose(other.transform(rows * unit), ours.transform(rows), rtol=1e-9)
    assert_allclose(other.inverse_transform(CODES) / unit, ours.inverse_transform(CODES), rtol=1e-9)
    assert_allclose(other.sample(5) / unit, ours.sample(5), rtol=1e-9)


@pytest.mark.parametrize("likelihood", ["gaussian", "gaussian-per-element", "table"])
def test_times_since_1970_keep_their_digits(likelihood):
    ours = VAE(likelihood=likelihood, num_epochs=10).fit(X)
    later = VAE(likelihood=likelihood, num_epochs=10).fit(X + 1.7e9)
    for one, other in zip(ours.transform(X).T, later.transform(X + 1.7e9).T, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.9999
    assert_allclose(later.score(X + 1.7e9), ours.score(X), atol=0.05)
    assert_allclose(later.inverse_transform(CODES) - 1.7e9, ours.inverse_transform(CODES), atol=0.05)
    assert later.sample(3).dtype == np.float64


def test_a_score_agrees_with_the_density_of_a_normal_where_the_code_tells_nothing():
    """Of noise the best model is the normal of its mean and deviation, whose mean log-density is in closed form."""
    noise = np.random.default_rng(1).normal(5.0, 1e6, (2000, 3))
    score = VAE(latent_dim=1, likelihood="gaussian", num_epochs=20).fit(noise).score(noise)
    entropy = 0.5 * np.log(2 * np.pi * np.e * noise.var(axis=0)).sum()
    assert score == pytest.approx(-entropy, abs=0.05)


def test_a_constant_feature_keeps_the_scale_1():
    rows = np.c_[X, np.full(len(X), 0.1)]
    model = VAE(num_epochs=2).fit(rows)
    assert (model.location_[6], model.scale_[6]) == (0.1, 1.0)
    assert_allclose(model.scale_[:6], X.std(axis=0), rtol=1e-12)
    assert_allclose(model.location_[:6], X.mean(axis=0), rtol=1e-12)


def test_draws_look_like_the_data(fitted):
    drawn = fitted.sample(2000)
    assert drawn.shape == (2000, 6)
    assert_allclose(drawn.mean(0), X.mean(0), atol=1.0)
    assert_allclose(drawn.std(0) / X.std(0), 1, atol=0.35)


def test_a_row_is_scored_alike_wherever_it_stands(fitted):
    scores, order = fitted.score_samples(X), RNG.permutation(len(X))
    assert_allclose(fitted.score_samples(X[order]), scores[order], rtol=1e-10)
    assert_allclose([fitted.score_samples(row[None])[0] for row in X[:5]], scores[:5], rtol=1e-10)


def test_a_scores_stated_error_is_how_far_it_lies_from_that_of_many_draws(fitted):
    scores, errors = fitted.score_samples(X, return_std=True)
    assert_allclose(scores, fitted.score_samples(X), rtol=0)
    model = deepcopy(fitted.model_).double()
    seen = torch.from_numpy((X - fitted.location_) / fitted.scale_)
    with torch.no_grad():
        draws = model.sample_posterior(seen, generator(1, "many"), 4000)
        exact = draws.log_likelihood.mean(0) - draws.kl
        variance = (draws.log_likelihood.var(0) / 16).mean().item()  # of a score, which has 16 draws; mean over rows
    off = scores - (exact.numpy() - np.log(fitted.scale_).sum())
    assert (errors**2).mean() == pytest.approx(variance, rel=0.2)
    assert (off**2).mean() == pytest.approx(variance, rel=0.3)
    # Errors of rows are independent: that of their mean is smaller by the root of their number.
    assert abs(off.mean()) < 4 * np.sqrt(variance / len(X))


def test_rows_have_noise_of_their_own(fitted):
    """With the same noise for all, errors of scores would be the same for like rows, and their mean no better."""
    near = np.repeat(X[:1], 300, axis=0) + 1e-6 * RNG.normal(size=(300, 6))
    assert fitted.score_samples(near).std() > 1e-2


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


def test_a_feature_without_any_value_is_ignored_and_comes_out_as_nan():
    empty = np.c_[X, np.full(len(X), np.nan)]
    model = VAE(num_epochs=2, likelihood="table").fit(empty)
    alone = VAE(num_epochs=2, likelihood="table").fit(X)
    assert_allclose(model.score_samples(np.c_[X, X[:, 0]]), model.score_samples(empty))
    assert np.isfinite(model.score_samples(empty)).all() and abs(model.score(empty) - alone.score(X)) < 1
    for rows in (model.inverse_transform(CODES), model.sample(3)):
        assert np.isnan(rows[:, 6]).all() and np.isfinite(rows[:, :6]).all()
    with pytest.raises(ValueError, match="all its cells are NaN"):
        VAE(likelihood="table").fit(empty[:, 6:])


BITS = (RNG.random((60, 4)) < 0.5) * 1.0
COUNTS = RNG.poisson(3.0, (60, 4)) * 1.0


@pytest.mark.parametrize("ask", ["score", "score_samples", "transform", "partial_fit"])
@pytest.mark.parametrize(
    ("likelihood", "rows", "others", "message"),
    [
        ("auto", BITS, BITS * 255, r"row \d, column \d is 255; the model accepts only 0 and 1 \(.*'bernoulli'"),
        ("auto", BITS, BITS + 99, r"row 0, column 0 is (99|100); "),
        ("bernoulli", BITS, -BITS, r"is -1; the model accepts only 0 and 1\.$"),
        ("bernoulli", BITS, BITS / 3, r"is 0\.33"),
        ("continuous-bernoulli", BITS / 2, BITS * 2, r"is 2; the model accepts numbers from 0 to 1\.$"),
        ("poisson", COUNTS, -COUNTS - 1, r"row 0, column 0 is -\d; the model accepts counts, whole numbers from 0"),
        ("negative-binomial", COUNTS, COUNTS + 0.5, r"row 0, column 0 is \d\.5; "),
        ("gaussian", X, X * 1e19, r"accepts numbers less than 1e\+18 standard deviations from the mean"),
    ],
)
def test_values_outside_the_support_are_refused_after_fit_as_well(likelihood, rows, others, message, ask):
    model = VAE(num_epochs=1, likelihood=likelihood).fit(rows)
    score = model.score(rows)
    with pytest.raises(ValueError, match=message) as caught:
        getattr(model, ask)(others)
    assert "\n" not in str(caught.value) and model.score(rows) == score and model.n_iter_ == 1


def test_what_scalers_leave_above_1_is_1():
    rows = MinMaxScaler().fit_transform(X) * (1 + 2.3e-16)
    assert rows.max() > 1
    assert np.isfinite(VAE(likelihood="bernoulli", num_epochs=1).fit(rows).score(rows))


def test_data_outside_the_support_are_refused_by_fit_with_what_a_caller_of_it_can_do():
    with pytest.raises(ValueError, match=r"data lie in .* needs"):
        VAE(likelihood="bernoulli").fit(X)
    with pytest.raises(ValueError, match="divide X by its full scale or use likelihood 'gaussian'"):
        VAE(likelihood="discretized-logistic").fit(COUNTS)


def test_training_that_fails_names_the_estimators_own_parameters_and_leaves_no_model():
    model = VAE(learning_rate=1e30, num_epochs=2)
    with pytest.raises(ValueError, match=r"^the loss became .*; lower learning_rate \(1e\+30\)") as caught:
        model.fit(X)
    assert "training." not in str(caught.value)
    with pytest.raises(ValueError, match="not fitted"):
        model.transform(X)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((3, 5)), "Z has the shape 3×5; expected an array of n×2 codes"),
        (np.zeros(2), "Z has the shape 2; expected an array of n×2 codes"),
        ([[0.0, np.nan]], "Z: row 0, column 1 is nan; .* all finite"),
        ([["a", "b"]], "Z does not contain numbers"),
        ([[1.0], [1.0, 2.0]], "Z does not contain numbers in rows of equal length"),
    ],
)
def test_codes_that_are_not_accepted_are_refused_with_what_is(fitted, codes, message):
    with pytest.raises(ValueError, match=message):
        fitted.inverse_transform(codes)


@pytest.mark.parametrize("number", [-1, 0, 2.5, "3", None])
def test_a_number_of_samples_is_an_integer_from_1(fitted, number):
    with pytest.raises(ValueError, match=r"n_samples is .*; it needs an integer of at least 1"):
        fitted.sample(number)


def test_frames_keep_their_names_and_their_index():
    frame = pd.DataFrame(X, columns=list("abcdef"), index=range(5, 205))
    model = VAE(num_epochs=1).set_output(transform="pandas").fit(frame)
    codes = model.transform(frame)
    assert list(codes.columns) == ["vae0", "vae1"] == list(model.get_feature_names_out())
    assert list(codes.index) == list(frame.index) and list(model.feature_names_in_) == list("abcdef")
    assert model.inverse_transform(codes).shape == X.shape
    counts = VAE(num_epochs=1, likelihood="poisson").fit(frame.abs().round())
    with pytest.raises(ValueError, match="column 'c' is -1"):
        counts.score(frame.abs().round().assign(c=-1.0))


def test_sparse_rows_are_what_dense_ones_are():
    model = VAE(num_epochs=2).fit(sparse.csr_matrix(BITS))
    assert model.score(sparse.coo_array(BITS)) == VAE(num_epochs=2).fit(BITS).score(BITS)


def test_a_pickled_estimator_goes_on_as_the_one_it_was(fitted):
    other = pickle.loads(pickle.dumps(fitted))
    assert_allclose(other.score_samples(X), fitted.score_samples(X), rtol=1e-12)
    model = VAE(num_epochs=1).fit(X)
    other = pickle.loads(pickle.dumps(model))
    assert other.partial_fit(X).score(X) == model.partial_fit(X).score(X)


def test_it_takes_part_in_pipelines_and_searches_without_touching_the_global_generator():
    state = torch.random.get_rng_state()
    search = GridSearchCV(VAE(num_epochs=3), {"latent_dim": [1, 2]}, cv=2)
    make_pipeline(StandardScaler(), search).fit(X)
    assert search.best_params_["latent_dim"] in (1, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
