import numpy as np
import pytest
import torch

from lowerbound.data.batches import Batches
from lowerbound.data.binarisation import binarise
from lowerbound.data.examples import Examples
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import DataError


def grey(num_images=3000):
    levels = np.linspace(0, 255, 16).round().astype(np.uint8).reshape(1, 4, 4, 1)
    return Examples(np.repeat(levels, num_images, axis=0), 255.0)


def test_a_pixel_is_one_with_the_probability_of_its_grey_value():
    examples = grey()
    bits = binarise(examples, seed=0, stream=0)
    p = examples.values[0] / 255
    error = np.sqrt(p * (1 - p) / len(examples))
    assert (np.abs(bits.values.mean(0) - p) <= 4 * error).all()
    assert (bits.max_value, bits.values.dtype) == (1.0, np.uint8)


def test_draws_are_seeded_from_the_position_whatever_follows():
    many, few = binarise(grey(5000), 0, 1), binarise(grey(20), 0, 1)
    np.testing.assert_array_equal(many.values[:20], few.values)


def test_seeds_and_splits_are_drawn_independently():
    first, other_seed, other_split = (binarise(grey(), *key).values.ravel() for key in ((0, 1), (1, 1), (0, 2)))
    p = grey().values.ravel() / 255
    for other in (other_seed, other_split):
        # Agreement of independent draws of the same pixels.
        assert abs((first == other).mean() - (p**2 + (1 - p) ** 2).mean()) < 0.01


def test_static_binarisation_draws_every_split_once_and_keeps_the_labels():
    splits, plain = load(DataConfig(binarisation="static")), load(DataConfig())
    for part, before in ((splits.train, plain.train), (splits.validation, plain.validation), (splits.test, plain.test)):
        assert set(np.unique(part.values)) == {0, 1}
        np.testing.assert_array_equal(part.labels, before.labels)
        # White stays white and black stays black.
        assert (part.values[before.values == 16] == 1).all()
        assert (part.values[before.values == 0] == 0).all()
    np.testing.assert_array_equal(load(DataConfig(binarisation="static")).test.values, splits.test.values)


def test_dynamic_binarisation_draws_the_training_images_anew_on_every_pass_and_the_others_once():
    splits = load(DataConfig(binarisation="dynamic"))
    train = Batches(splits.train, 400)
    first, second = (torch.cat([batch.x for batch in train.shuffled(0, epoch)]) for epoch in (0, 1))
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first.sum(0), second.sum(0))
    test = [torch.cat(list(Batches(splits.test, 100).examples)) for _ in range(2)]
    assert torch.equal(*test)


def test_an_epoch_of_drawn_images_resumes_at_any_batch_with_the_same_draws():
    train = Batches(load(DataConfig(binarisation="dynamic")).train, 100)
    whole = list(train.shuffled(5, 2))
    for start in (1, 7):
        for expected, batch in zip(whole[start:], train.shuffled(5, 2, start=start), strict=True):
            assert torch.equal(expected.x, batch.x)


def test_the_mean_of_many_dynamic_draws_is_the_grey_image():
    train = Batches(Examples(grey(1).values, 255.0, is_redrawn=True), 1)
    draws = torch.cat([next(train.shuffled(0, epoch)).x for epoch in range(2000)])
    expected = torch.from_numpy(grey(1).values.transpose(0, 3, 1, 2) / 255.0)
    error = (expected * (1 - expected) / 2000).sqrt()
    assert ((draws.mean(0, keepdim=True) - expected).abs() <= 4 * error).all()


def test_pixels_on_another_scale_are_drawn_with_the_same_probabilities():
    plain = grey(200)
    moved = Examples(2 * plain.values.astype(np.float32) - 255, 255.0, min_value=-255.0)
    bits = binarise(moved, 0, 0)
    np.testing.assert_array_equal(bits.values, binarise(plain, 0, 0).values)
    assert bits.range == (0.0, 1.0)


def test_what_is_no_probability_is_refused():
    with pytest.raises(DataError, match=r"binarisation needs \[0, 1\]"):
        binarise(Examples(np.full((2, 3, 3, 1), -0.5, np.float32), 1.0), 0, 0)


def test_missing_values_are_refused_as_such():
    values = np.array([[0.5, np.nan], [1.0, 0.0]], np.float32)
    with pytest.raises(DataError, match=r"values are missing; binarisation needs all of them"):
        binarise(Examples(values, 1.0, layout="table"), seed=0, stream=0)
