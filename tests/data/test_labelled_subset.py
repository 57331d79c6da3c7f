"""Tests of training examples of which only some keep their label."""

import numpy as np
import pytest

from lowerbound.data.conditions import conditioned
from lowerbound.data.sources import DataConfig, load, split_array
from lowerbound.foundation.errors import ConfigError, DataError


def test_as_many_examples_of_each_level_keep_their_label_and_others_have_none():
    digits = load(DataConfig(source="digits"))
    found = conditioned(digits, ["label"], infers=True, num_labelled=30, seed=1)
    kept = found.train.context[:, 0]
    assert np.bincount(kept[~np.isnan(kept)].astype(int)).tolist() == [3] * 10
    assert not found.test.has_missing_context
    assert found.checksum != conditioned(digits, ["label"], infers=True).checksum
    assert found.checksum != conditioned(digits, ["label"], infers=True, num_labelled=30, seed=2).checksum
    assert "30 of 1,257 training examples keep their label" in found.notes[-1]


@pytest.mark.parametrize(("number", "reason"), [(33, "multiple of 10"), (5000, "use a smaller number")])
def test_numbers_that_levels_cannot_share_or_do_not_have_are_refused(number, reason):
    with pytest.raises(ConfigError, match=reason):
        conditioned(load(DataConfig(source="digits")), ["label"], infers=True, num_labelled=number)


def test_a_number_without_a_classifier_is_refused():
    with pytest.raises(ConfigError, match="no part of the model infers"):
        conditioned(load(DataConfig(source="digits")), ["label"], num_labelled=30)


def test_missing_labels_are_nan_with_a_classifier_and_refused_without():
    x = np.random.default_rng(0).random((60, 4)).astype(np.float32)
    splits = split_array(x, labels=["a", "b", None] * 20)
    found = conditioned(splits, ["label"], infers=True)
    assert found.schema.conditions[0].levels == ("a", "b")
    assert found.train.has_missing_context
    with pytest.raises(DataError, match="without a label"):
        conditioned(splits, ["label"])
