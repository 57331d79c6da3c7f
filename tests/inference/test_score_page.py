"""The page of anomaly scores names examples, shows why, and replaces a file only as a whole."""

import numpy as np
import pytest

import lowerbound as lb
from lowerbound.foundation.errors import UsageError
from parsed_pages import Page
from untrained_models import untrained_run

RNG = np.random.default_rng(0)


def table_file(path, rows):
    path.write_text("height,city\n" + "".join(f"{height},{city}\n" for height, city in rows))
    return path


@pytest.fixture(scope="module")
def rows_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    rows = [(round(170 + 10 * value, 1), "Rome") for value in RNG.normal(size=120)] + [(170, "Oslo")] * 40
    return untrained_run(folder / "rows", str(table_file(folder / "rows.csv", rows)))


def test_a_page_of_rows_names_the_columns_with_values(rows_run, tmp_path):
    new = table_file(tmp_path / "new.csv", [(171, "Rome"), (400, "<b>Oslo</b>"), (400, "Oslo")][::2])
    lb.score(rows_run.path, new, page=tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert "Example 1" in page.text and "height 400" in page.text
    assert page.text.index("Example 1") < page.text.index("Example 0")
    assert "of 2 are anomalous" in page.text
    assert not [image for image in page.all("img") if not image["src"].startswith("data:")]


def test_a_page_of_images_shows_each_with_its_reconstruction_and_residual(tmp_path):
    run = untrained_run(tmp_path / "images", RNG.integers(0, 256, (120, 8, 8), np.uint8))
    images = np.concatenate([np.zeros((1, 8, 8), np.uint8), np.full((2, 8, 8), 255, np.uint8)])
    lb.score(run.path, images, page=tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    captions = [image["alt"] for image in page.all("img") if image["alt"][-1].isdigit()]
    assert sorted(captions) == sorted(f"{what} of {i}" for i in range(3) for what in ("given", "decoded", "residual"))
    assert "Most of it in one part: rows" in page.text


def test_another_kind_of_file_is_refused_before_anything_is_scored(rows_run, tmp_path):
    with pytest.raises(UsageError, match=r"page\.pdf is not a page of HTML; accepted: \.html"):
        lb.score(rows_run.path, "nowhere.csv", page=tmp_path / "page.pdf")
    assert list(tmp_path.iterdir()) == []


def test_examples_are_named_by_row_or_file(rows_run, tmp_path):
    from PIL import Image

    held_out = lb.score(rows_run.path)
    assert len(set(held_out.ids)) == 16 and {int(name) for name in held_out.ids} <= set(range(160))
    (tmp_path / "photos").mkdir()
    for index in range(60):
        picture = RNG.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(picture).save(tmp_path / "photos" / f"photo-{index}.png")
    run = untrained_run(tmp_path / "run", str(tmp_path / "photos"))
    assert all(name.startswith("photo-") for name in lb.score(run.path).ids)
    given = lb.score(run.path, [tmp_path / "photos" / "photo-3.png", tmp_path / "photos" / "photo-5.png"])
    assert [name.rpartition("/")[2] for name in given.ids] == ["photo-3.png", "photo-5.png"]
