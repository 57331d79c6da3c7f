"""Dotted keys of settings."""

import pytest

from lowerbound.foundation.errors import ConfigError
from lowerbound.runs.setting_keys import key_parts, nested


def test_a_key_is_divided_at_its_dots_outside_of_quotes():
    assert key_parts("objective.rate_weight") == ["objective", "rate_weight"]
    assert key_parts('data.columns."a.b".kind') == ["data", "columns", "a.b", "kind"]
    assert nested(["model", "latent_dim"], 2) == {"model": {"latent_dim": 2}}


@pytest.mark.parametrize("text", ["objective", "", ".x", "a..b", "a.b=1", ".".join("abcdefghij"), 'a."\\x".b'])
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(ConfigError) as caught:
        key_parts(text)
    assert "\n" not in str(caught.value)
