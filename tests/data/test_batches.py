"""Each epoch meets every example once, in an order that the seed and the epoch's number decide, from any batch on."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowerbound.data.batches import Batch, Batches, deviation_of, mean_of, scaled
from lowerbound.data.examples import Examples
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.shares import Share


def numbered(count, dtype=np.uint8, max_value=255.0):
    """Images of shape 2×1×1, of which the first pixel is the image's number."""
    images = np.zeros((count, 2, 1, 1), dtype)
    images[:, 0, 0, 0] = np.arange(count)
    return Examples(images, max_value)


def numbers(batches):
    """The numbers of the images in each batch."""
    return [[round(value) for value in (255 * batch.x[:, 0, 0, 0]).tolist()] for batch in batches]


@given(st.integers(1, 200), st.integers(1, 60), st.integers(0, 2**31), st.integers(0, 50))
def test_an_epoch_is_a_permutation_of_the_examples(count, batch_size, seed, epoch):
    batches = Batches(numbered(count), batch_size)
    found = numbers(batches.shuffled(seed, epoch))
    assert sorted(chain(*found)) == list(range(count))
    assert [len(batch) for batch in found] == [len(batch) for batch in numbers(batches)]


@given(st.integers(1, 200), st.integers(1, 60))
def test_batches_are_full_but_for_a_short_last_one(count, batch_size):
    batches = Batches(numbered(count), batch_size)
    sizes = [len(x) for x in batches.examples]
    assert len(batches) == len(sizes)
    assert batches.num_examples == sum(sizes) == count
    assert all(size == batch_size for size in sizes[:-1])
    assert 1 <= sizes[-1] <= batch_size


@given(st.integers(1, 60), st.integers(1, 10), st.data())
def test_an_epoch_resumes_at_any_batch_exactly(count, batch_size, data):
    batches = Batches(numbered(count), batch_size)
    start = data.draw(st.integers(0, len(batches)), label="start")
    assert numbers(batches.shuffled(3, 1, start)) == numbers(batches.shuffled(3, 1))[start:]


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    order = numbers(Batches(numbered(100), 8).shuffled(0, 0))
    other_place = Batches(numbered(100), 8)
    list(other_place.shuffled(5, 7))
    assert numbers(other_place.shuffled(0, 0)) == order
    assert numbers(other_place.shuffled(0, 1)) != order
    assert numbers(other_place.shuffled(1, 0)) != order
    assert list(chain(*numbers(Batches(numbered(100), 30).shuffled(0, 0)))) == list(chain(*order))


def test_noise_drawn_between_batches_leaves_the_order_alone():
    batches, noise = Batches(numbered(20), 3), generator(0, "noise")
    undisturbed = numbers(batches.shuffled(0, 0))
    disturbed = []
    for batch in batches.shuffled(0, 0):
        torch.randn(7, generator=noise)
        torch.randn(7)
        disturbed += numbers([batch])
    assert disturbed == undisturbed


def test_without_shuffling_examples_come_in_their_own_order():
    batches = Batches(numbered(7), 3)
    assert numbers(batches) == numbers(batches) == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize(
    ("dtype", "max_value"), [(np.uint8, 255.0), (np.uint8, 16.0), (np.float32, 1.0), (np.float32, 4.0)]
)
def test_pixels_are_scaled_to_between_0_and_1_on_every_pass(dtype, max_value):
    grey = (np.linspace(0, max_value, 24).reshape(4, 2, 3, 1) * [1, 0.5]).astype(dtype)
    examples = Examples(grey, max_value)
    expected = torch.tensor(np.moveaxis(grey.astype(np.float64) / max_value, 3, 1), dtype=torch.float32)
    batches = Batches(examples, 3)
    for found in (torch.cat(list(batches.examples)), torch.cat(list(batches.examples)), scaled(examples)):
        assert found.dtype == torch.float32
        assert found.shape == (4, 2, 2, 3)
        torch.testing.assert_close(found, expected)
    assert 0 <= found.min() <= found.max() == 1


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-1000.0, 3071.0), (5.0, 6.0)])
def test_a_scale_may_begin_below_or_above_zero(low, high):
    values = np.random.default_rng(0).uniform(low, high, (6, 2, 3, 1)).astype(np.float32)
    examples = Examples(values, high, min_value=low)
    expected = torch.tensor(np.moveaxis((values.astype(np.float64) - low) / (high - low), 3, 1))
    torch.testing.assert_close(scaled(examples).double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(mean_of(examples).double(), expected.mean(0), atol=1e-6, rtol=0)
    torch.testing.assert_close(deviation_of(examples).double(), expected.std(0, correction=0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_done_to_a_batch_is_not_done_to_the_data(dtype):
    examples = numbered(5, dtype, max_value=1.0)
    batches = Batches(examples, 2)
    for first in (iter(batches), batches.shuffled(0, 0)):
        next(first).x.fill_(-1)
    assert [x[:, 0, 0, 0].tolist() for x in batches.examples] == [[0, 1], [2, 3], [4]]
    assert examples.values.min() == 0


def test_nothing_follows_from_an_empty_split():
    assert scaled(numbered(0)).shape == (0, 1, 2, 1)
    assert list(Batches(numbered(0), 4).shuffled(0, 0)) == []


def test_a_batch_has_the_labels_of_its_examples():
    examples = replace(numbered(9), labels=10 * np.arange(9))
    for batches in (iter(Batches(examples, 4)), Batches(examples, 4).shuffled(0, 0)):
        for batch in batches:
            assert batch.context.tolist() == [10 * number for number in numbers([batch])[0]]
    assert Batch(torch.zeros(9, 1)).split(4)[0].context is None
    parts = next(iter(Batches(examples, 9))).split(4)
    assert [part.context.tolist() for part in parts] == [[0, 10, 20, 30], [40, 50, 60, 70], [80]]


@pytest.mark.parametrize("is_redrawn", [False, True])
@pytest.mark.parametrize("num_ranks", [2, 3, 5])
def test_the_shares_of_all_ranks_are_the_batches_of_one_process_to_the_bit(num_ranks, is_redrawn):
    values = np.random.default_rng(0).integers(0, 256, (13, 4, 3, 1), np.uint8)
    examples = Examples(values, 255.0, np.arange(13), is_redrawn=is_redrawn)
    whole = Batches(examples, 5)
    shares = [Batches(examples, 5, share=Share(rank, num_ranks)) for rank in range(num_ranks)]
    assert all(len(share) == len(whole) and share.num_examples == 13 for share in shares)
    for batches, expected in (
        ([list(share.shuffled(0, 1, start=1)) for share in shares], list(whole.shuffled(0, 1, start=1))),
        ([list(share) for share in shares], list(whole)),
    ):
        for parts, batch in zip(zip(*batches, strict=True), expected, strict=True):
            counted = [part for part in parts if part.rows.counts]
            assert torch.equal(torch.cat([part.x for part in counted]), batch.x)
            assert torch.equal(torch.cat([part.context for part in counted]), batch.context)
            assert batch.rows is None and {part.rows.size for part in parts} == {len(batch.x)}


def test_values_and_labels_that_run_backwards_are_read_in_their_own_order():
    values = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    backwards = Examples(values[::-1, ::-1], max_value=1.0, labels=np.arange(3)[::-1])
    (batch,) = Batches(backwards, 3)
    np.testing.assert_array_equal(batch.x[:, 0].numpy(), values[::-1, ::-1, :, 0])
    assert batch.context.tolist() == [2, 1, 0]
