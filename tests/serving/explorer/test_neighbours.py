"""Nearest latents and nearest images are those of a full search."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowerbound.data.examples import Examples
from lowerbound.foundation.schema import Schema
from lowerbound.serving.explorer.latents import (
    Latents,
)
from lowerbound.serving.explorer.neighbours import nearest_latents, nearest_pixels
from lowerbound.serving.explorer.points import (
    Dataset,
)


def of(*parts, is_redrawn=False):
    """Dataset of examples whose values are given, each part a split."""
    examples = tuple(Examples(part, 255.0, is_redrawn=is_redrawn) for part in parts)
    schema = Schema(layout="image", shape=parts[0].shape[1:], dtype="uint8", range=(0.0, 255.0))
    return Dataset(("train", "validation", "test")[: len(parts)], examples, (), "grey", "given", (), schema)


@given(num=st.integers(1, 40), latent_dim=st.integers(1, 5), seed=st.integers(0, 99), num_different=st.integers(1, 40))
def test_nearest_codes_are_those_of_a_full_sort(num, latent_dim, seed, num_different):
    bits = np.random.default_rng(seed)
    mean = bits.normal(size=(num_different, latent_dim)).astype(np.float32)[bits.integers(0, num_different, num)]
    nothing = np.zeros(num, np.int32)
    z = bits.normal(size=latent_dim)
    found = nearest_latents(Latents(mean, None, nothing, nothing.astype(np.uint8)), z)
    squared = ((mean.astype(np.float64) - z) ** 2).sum(1)
    assert len(found) == min(8, num)
    np.testing.assert_allclose([distance**2 for _, distance in found], np.sort(squared)[:8], rtol=1e-5)
    assert [index for index, _ in found] == sorted(
        (index for index, _ in found),
        key=lambda index: (np.float32(np.linalg.norm(mean[index] - np.float32(z))), index),
    )


def test_nearest_images_are_those_of_a_brute_force_in_double_precision():
    bits = np.random.default_rng(1)
    parts = [bits.integers(0, 256, (number, 30, 20, 1)).astype(np.uint8) for number in (500, 3, 77)]
    x = bits.random((30, 20, 1)).astype(np.float32)
    found = nearest_pixels(of(*parts), x.reshape(-1))
    every = np.concatenate(parts).astype(np.float64) / 255
    distances = np.sqrt(((every - x) ** 2).reshape(580, -1).sum(1))
    assert [index for index, _ in found] == np.argsort(distances, kind="stable")[:8].tolist()
    np.testing.assert_allclose([distance for _, distance in found], np.sort(distances)[:8], rtol=1e-6)


def test_an_image_of_the_data_is_at_no_distance_from_itself_and_a_step_of_one_level_from_its_neighbour():
    bits = np.random.default_rng(2)
    images = bits.integers(1, 255, (300, 28, 28, 1)).astype(np.uint8)
    images[7] = images[250]
    images[7, 3, 3] += 1
    found = nearest_pixels(of(images), images[250].reshape(-1) / np.float32(255))
    assert found[0] == (250, pytest.approx(0, abs=1e-6))
    assert found[1] == (7, pytest.approx(1 / 255, rel=1e-4))


def test_values_of_any_scale_are_compared_on_the_models_scale():
    values = np.array([0.0, 0.25, 1.0], np.float32).reshape(3, 1, 1, 1)
    points = of(np.zeros((1, 1, 1, 1), np.uint8))
    for low, high in ((0.0, 1.0), (-8.0, 8.0)):  # of which single precision holds every step
        part = Examples(low + values * np.float32(high - low), high, min_value=low)
        assert nearest_pixels(replace(points, parts=(part,)), np.array([0.5])) == [(1, 0.25), (0, 0.5), (2, 0.5)]
