"""Names of images: relative to the folder that they have in common, and different once they end in .png."""

import pytest

from lowerbound.compression.image_names import within_folder, written_names
from lowerbound.foundation.errors import DataError


def test_names_within_a_folder_stay_as_they_are():
    assert within_folder(("cats/1.png", "dogs/1.jpg")) == ("cats/1.png", "dogs/1.jpg")
    assert within_folder(()) == ()


def test_other_names_are_relative_to_their_common_folder(tmp_path, monkeypatch):
    given = (str(tmp_path / "photos" / "cats" / "1.png"), str(tmp_path / "photos" / "2.png"))
    assert within_folder(given) == ("cats/1.png", "2.png")
    assert within_folder(given[:1]) == ("1.png",)
    monkeypatch.chdir(tmp_path)
    assert within_folder(("../a.png", "b.png"))[0] == "a.png"


def test_names_that_would_be_one_are_refused():
    assert written_names(["a.jpg", "b.PNG"]) == ["a.jpg.png", "b.PNG"]
    with pytest.raises(DataError, match=r"two images would be written as 'a\.jpg\.png'"):
        written_names(["a.jpg", "a.jpg.png"])
