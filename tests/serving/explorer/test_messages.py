"""Messages of the explorer name files, and not their places."""

import pytest

from lowerbound.serving.explorer.messages import without_paths


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("/home/me/runs/a is not a run", "a is not a run"),
        ("cannot read /home/me/a b.csv: gone", "cannot read a b.csv: gone"),
        ("looked in '/a/b/c', ~/d/e.gz", "looked in 'c', e.gz"),
        (
            "values in 0/1, 10 images/s; see http://one.two/three",
            "values in 0/1, 10 images/s; see http://one.two/three",
        ),
        ("two\nlines", "two lines"),
    ],
)
def test_messages_keep_names_and_lose_places(message, shown):
    assert without_paths(message) == shown


def test_known_places_go_whatever_is_in_their_names(tmp_path):
    place = tmp_path / "my runs" / "a"
    assert without_paths(f"{place}/model.safetensors does not exist", place) == "a/model.safetensors does not exist"
