"""Settings of data that nothing would read are refused by name."""

import pytest

from lowerbound.data.sources import DataConfig, load
from lowerbound.data.unread_settings import OF_FILES, check_unset
from lowerbound.foundation.errors import ConfigError

GIVEN = {"size": "8x8", "resize": "fit", "labels": "x.csv", "range": (0.0, 1.0), "channels": 1, "decimal": ","}


@pytest.mark.parametrize("name", GIVEN)
def test_a_named_source_refuses_settings_of_files(name):
    with pytest.raises(ConfigError, match=rf"data\.{name} is for files and folders; 'digits' is read as it is"):
        load(DataConfig(source="digits", **{name: GIVEN[name]}))


def test_settings_that_were_left_as_they_are_are_accepted():
    check_unset(DataConfig(source="mnist", split_seed=3), OF_FILES, "is refused.")
