import math

import numpy as np
import pytest
import torch

from lowerbound.data.sources import DataConfig, Examples, load
from lowerbound.evaluation.latent_statistics import encode_examples
from lowerbound.evaluation.probes import LabelledCodes, labelled_codes, linear_probe, nearest_neighbour_probe
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

pytestmark = pytest.mark.usefixtures("float64")


def codes_in(mean, labels):
    return LabelledCodes(mean, torch.as_tensor(labels))


def noise(num_examples, name):
    return torch.randn(num_examples, 2, generator=generator(0, name))


@pytest.mark.parametrize("probe", [linear_probe, nearest_neighbour_probe])
def test_a_probe_reads_separable_codes_without_error(probe):
    labels = torch.arange(60) % 3
    means = torch.stack([10.0 * labels, -5.0 * labels], 1)
    accuracy = probe(codes_in(means + noise(60, "a"), labels), codes_in(means + noise(60, "b"), labels))
    assert (accuracy.value, accuracy.standard_error) == (1.0, 0.0)


@pytest.mark.parametrize("probe", [linear_probe, nearest_neighbour_probe])
def test_a_probe_of_noise_is_at_chance(probe):
    labels = torch.arange(2000) % 4
    accuracy = probe(codes_in(noise(2000, "a"), labels), codes_in(noise(2000, "b"), labels))
    assert abs(accuracy.value - 0.25) < 4 * accuracy.standard_error
    assert accuracy.standard_error == pytest.approx(math.sqrt(accuracy.value * (1 - accuracy.value) / 2000))


def test_neighbours_separate_classes_that_are_not_linearly_separable():
    codes = 5 * torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]]).repeat(50, 1)
    labels = torch.tensor([0, 1, 1, 0]).repeat(50)
    train, test = codes_in(codes + noise(200, "a"), labels), codes_in(codes + noise(200, "b"), labels)
    assert nearest_neighbour_probe(train, test).value == 1.0
    assert linear_probe(train, test).value < 0.8


def test_a_probe_standardises_the_codes():
    labels = torch.arange(200) % 2
    codes = noise(200, "a") + torch.stack([4.0 * labels, torch.zeros(200)], 1)
    stretched = codes * torch.tensor([1.0, 1e4])  # the second dimension is noise alone, and drowns the first
    accuracy = nearest_neighbour_probe(codes_in(stretched[:100], labels[:100]), codes_in(stretched[100:], labels[100:]))
    assert accuracy.value > 0.9


def test_codes_carry_the_labels_of_their_images_and_images_without_labels_are_refused():
    test = load(DataConfig()).test.subset(np.arange(30))
    model = build_model(ModelConfig(hidden=(8,)), (1, 8, 8), generator(0, "weights")).double()
    codes = labelled_codes(model, test)
    np.testing.assert_array_equal(codes.labels.numpy(), test.labels)
    torch.testing.assert_close(codes.mean, encode_examples(model, test).mean)
    with pytest.raises(DataError, match="needs labels"):
        labelled_codes(model, Examples(test.values, test.max_value))
