"""What `lb.load` returns speaks the run's stored units and layout, and refuses everything else in one line."""

import numpy as np
import pytest
import torch

import lowerbound as lb
from lowerbound.foundation.errors import DataError, UsageError

SHORT = {"training": {"num_epochs": 1, "min_steps": 0}, "evaluation": {"num_draws": 2, "num_exact": 2}}
RNG = np.random.default_rng(0)


def trained(x, path, **model):
    settings = {**SHORT, "model": {"network": "dense", "hidden": [8], "latent_dim": 3, **model}}
    return lb.train(x, out=path, settings=settings).model


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    x = RNG.integers(0, 256, (40, 8, 9, 3), np.uint8)
    return trained(x, tmp_path_factory.mktemp("colour") / "run"), x


@pytest.fixture(scope="module")
def depth(tmp_path_factory):
    x = RNG.integers(-1000, 3000, (40, 8, 9)).astype(np.int16)
    return trained(x, tmp_path_factory.mktemp("depth") / "run"), x


def means(model, x):
    return model.encode(x).mean.numpy()


def test_every_unambiguous_layout_of_the_same_images_gives_the_same_codes(colour):
    model, x = colour
    seen = torch.from_numpy(x.transpose(0, 3, 1, 2) / np.float32(255))
    with torch.no_grad():
        expected = model.vae.encode(seen).mean.numpy()
    for same in (x, torch.from_numpy(x), x.astype(np.int64), x.astype(np.float64), x.transpose(0, 3, 1, 2)):
        np.testing.assert_allclose(means(model, same), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(means(model, x[5]), expected[5:6], rtol=1e-5, atol=1e-6)


def test_without_a_channel_axis_images_have_one_channel(depth):
    model, x = depth
    for same in (x[..., np.newaxis], x[:, np.newaxis], torch.from_numpy(x)):
        np.testing.assert_array_equal(means(model, same), means(model, x))
    assert means(model, x[0]).shape == (1, 3)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda x: x.reshape(40, -1), "expected N×8×9×3 or N×3×8×9, or one such example, got 40×216"),
        (lambda x: x[..., :2], "expected N×8×9×3 .* got 40×8×9×2"),
        (lambda x: x[:0], "expected N×8×9×3 .* got 0×8×9×3"),
        (lambda x: x / 255, "looks like pixels divided by 255: pass uint8 from 0 to 255"),
        (lambda x: x.astype(int) * 255, "accepted|trained on uint8 from 0 to 255"),
        (lambda x: x - 1.0, "trained on uint8 from 0 to 255"),
        (lambda x: np.where(x == x[3, 2, 1, 0], np.nan, x), "is nan; accepted: finite numbers"),
        (lambda x: "photo", "expected"),
        (lambda x: x.astype(str), "of type"),
        (lambda x: None, "expected"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(colour, wrong, sentence):
    model, x = colour
    for use in (model.encode, model.reconstruct, model.score):
        with pytest.raises(DataError, match=sentence) as caught:
            use(wrong(x))
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_distributions_carry_no_gradient_and_speak_stored_units(colour, depth):
    for model, x in (colour, depth):
        q = model.encode(x)
        p = model.decode(q.mean)
        assert not q.mean.requires_grad and not p.mean.requires_grad
        low, high = model.schema.range
        assert p.mean.shape == (40, *model.schema.shape)
        with torch.no_grad():
            expected = model.vae.decode(q.mean)
        np.testing.assert_allclose(
            p.mean.numpy(), low + (high - low) * expected.mean.permute(0, 2, 3, 1).numpy(), rtol=1e-4, atol=1e-2
        )
        stored = torch.from_numpy(x.reshape(40, *model.schema.shape).astype(np.float64))
        seen = ((stored - low) / (high - low)).permute(0, 3, 1, 2).float()
        torch.testing.assert_close(p.log_prob(stored), expected.log_prob(seen), rtol=1e-4, atol=1e-2)


def test_reconstructions_and_new_examples_are_arrays_in_stored_units(depth):
    model, x = depth
    again, new = model.reconstruct(x), model.generate(5, seed=1)
    assert again.shape == (40, 8, 9, 1) and new.shape == (5, 8, 9, 1)
    assert -1500 < again.min() < again.max() < 3500 and abs(again.mean() - x.mean()) < 300
    np.testing.assert_array_equal(model.generate(5, seed=1), new)
    assert model.score(x).shape == (40,)


@pytest.mark.parametrize("num", [0, -1, True])
def test_a_number_of_examples_that_is_none_is_refused(depth, num):
    with pytest.raises(UsageError, match="whole number of at least 1"):
        depth[0].generate(num)


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf")])
def test_a_temperature_that_scales_no_spread_is_refused(depth, temperature):
    with pytest.raises(UsageError, match=r"temperature is .*finite number of at least 0"):
        depth[0].generate(2, temperature=temperature)


@pytest.mark.parametrize(
    ("z", "sentence"),
    [
        (np.zeros((2, 4)), "expected codes N×3, got 2×4"),
        ([[np.nan] * 3], "NaN"),
        ("a", "expected codes N×3, an array, tensor or nested list of numbers, got 'a'"),
        ([[0.0] * 3, [1.0]], "nested list of numbers, got"),
        (None, "nested list of numbers, got None"),
    ],
)
def test_codes_that_do_not_fit_are_refused(depth, z, sentence):
    with pytest.raises(DataError, match=sentence):
        depth[0].decode(z)


def test_a_score_is_the_same_alone_and_among_others(colour):
    model, x = colour
    together = model.score(x)
    np.testing.assert_allclose(model.score(x[7]), together[7:8], rtol=1e-5)
    np.testing.assert_allclose(model.score(x[::-1].copy()), together[::-1], rtol=1e-5)


def test_a_run_without_a_directory_is_temporary_until_it_is_saved(tmp_path):
    x = RNG.normal(size=(60, 4))
    run = lb.train(x, latent_dim=2, likelihood="gaussian-per-element", epochs=1, seed=3, batch_size=8)
    assert run.path.is_dir() and run.model.vae.latent_dim == 2
    saved = run.save(tmp_path / "kept")
    assert {path.name for path in saved.path.iterdir()} == {path.name for path in run.path.iterdir()}
    np.testing.assert_array_equal(means(lb.load(tmp_path / "kept"), x), means(run.model, x))
    with pytest.raises(UsageError, match="is not empty"):
        run.save(tmp_path / "kept")


def test_grey_images_are_binarised_as_the_runs_own_were_and_that_is_noted(tmp_path):
    x = RNG.integers(0, 256, (60, 8, 8), np.uint8)
    settings = {**SHORT, "data": {"binarisation": "static", "binarisation_seed": 4}}
    model = lb.train(x, out=tmp_path / "run", latent_dim=2, likelihood="bernoulli", settings=settings).model
    assert model.convention == "static binarisation, seed 4"
    collection = model.examples(x[:10])
    assert set(np.unique(collection.examples.values)) == {0, 1}
    note = "grey pixels are binarised at random, with a seed derived from the image's values"
    assert collection.notes[-1] == f"{note} (static binarisation, seed 4)"
    np.testing.assert_array_equal(model.examples(x[3]).examples.values[0], collection.examples.values[3])
    black_and_white = np.where(x[:10] > 99, 255, 0)
    seen = model.examples(black_and_white)
    np.testing.assert_array_equal(seen.examples.values[..., 0] / seen.examples.max_value, black_and_white / 255)
    shares = np.mean([model.examples(np.full((8, 8), 64)).examples.values.mean()])
    assert 0.1 < shares < 0.4  # 64 / 255 of 64 pixels


def test_a_table_model_takes_frames_and_mappings_and_no_arrays(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": RNG.normal(40, 9, 80), "city": RNG.choice(["Ulm", "Köln", "Lyon"], 80)})
    model = lb.train(frame, out=tmp_path / "run", epochs=1, latent_dim=2).model
    assert [(column.name, column.kind) for column in model.schema.columns] == [
        ("age", "numeric"),
        ("city", "categorical"),
    ]
    np.testing.assert_array_equal(means(model, frame[["city", "age"]]), means(model, frame))
    np.testing.assert_array_equal(
        means(model, {"age": frame.age.tolist(), "city": frame.city.tolist()}), means(model, frame)
    )
    with pytest.raises(
        DataError, match="expected a DataFrame or a mapping with the columns 'age', 'city', got an array 1×2"
    ):
        model.encode(torch.tensor([[40.0, 1.0]]))
    with pytest.raises(DataError, match="Paris"):
        model.encode(pandas.DataFrame({"age": [40.0], "city": ["Paris"]}))
    assert set(model.generate(3)) == {"age", "city"}
