"""Folders and archives: which files are images, in which split and with which label, and what is said of the others."""

import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_files import COLOUR, grey, labels_of, placed, png, refusal, save_images, saved, written
from lowerbound.data.array_examples import encode_labels
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.images import ImageOptions, is_image_file
from lowerbound.data.sources import DataConfig, load
from lowerbound.data.split_names import NAMES, split_from_name

both = pytest.mark.parametrize("form", ["folder", "zip"])


# ---- which files are images


@both
def test_images_are_told_by_their_content_whatever_their_suffix(tmp_path, form):
    formats = {
        "a.gif": "gif",
        "b.jfif": "jpeg",
        "c": "png",
        "d.dat": "webp",
        "e.42": "bmp",
        "f.JPE": "jpeg",
        "g": "tiff",
    }
    files = {name: saved(Image.fromarray(COLOUR).save, kind) for name, kind in formats.items()}
    collection = read(placed(tmp_path / "data", files, form))
    assert collection.ids == tuple(files) and collection.notes == ()
    for name in files if form == "folder" else ():
        assert is_image_file(tmp_path / "data" / name)
        assert len(read(tmp_path / "data" / name).examples) == 1


@both
def test_what_is_not_an_image_is_counted_and_named_once(tmp_path, form):
    others = {
        "notes.txt": b"BM and nothing else",
        "b/table.csv": b"a,b",
        "raw.NEF": saved(grey(101).save, "tiff"),
        "z": b"",
    }
    ignored = [".DS_Store", "Thumbs.db", ".cache/x.png", "._c.png", "__MACOSX/d.png", "a/.hidden/e.png", "desktop.ini"]
    files = {"a/1.png": png(101)} | others | dict.fromkeys(ignored, b"anything")
    collection = read(placed(tmp_path / "data", files, form))
    assert collection.ids == ("a/1.png",)
    assert collection.notes == ("not images, skipped: b/table.csv and 3 more",)


@both
def test_where_nothing_is_an_image_it_is_said_what_came(tmp_path, form):
    message = refusal(placed(tmp_path / "data", {"a.txt": b"x", "b.npy": b"y"}, form))
    assert "contains no images, but a.txt and 1 more; give a folder or zip of PNG, JPEG" in message


def test_a_suffixless_file_that_cannot_be_read_is_named(tmp_path):
    save_images(tmp_path, {"a.png": grey(1)})
    written(tmp_path / "b", b"")
    (tmp_path / "b").chmod(0)
    if os.access(tmp_path / "b", os.R_OK):
        pytest.skip("this user may read everything")
    assert "Permission denied" in refusal(tmp_path)


def test_class_folders_are_followed_where_they_are_links(tmp_path):
    save_images(tmp_path / "all", {"cat/1.png": grey(101), "dog/2.png": grey(102), "cow/3.png": grey(103)})
    (tmp_path / "some").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "some" / name).symlink_to(tmp_path / "all" / name)
    assert labels_of(read(tmp_path / "some")) == {"cat/1.png": "cat", "dog/2.png": "dog"}
    shutil.rmtree(tmp_path / "all" / "dog")  # a link that leads nowhere
    assert read(tmp_path / "some").notes == ("not images, skipped: dog",)


# ---- splits


SIZES = {"train": 12, "validation": 3, "test": 4}


def split_files(names: dict[str, str], classes: bool, around: str = "") -> dict[str, bytes]:
    """Images of a value of their own, in folders of these names."""
    files, value = {}, 100
    for split, folder in names.items():
        for number in range(SIZES[split]):
            files[f"{around}{folder}/{'cd'[number % 2] + '/' if classes else ''}{number}.png"] = png(value := value + 1)
    return files


@both
@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("around", ["", "archive/", "data/archive/"])
@pytest.mark.parametrize("validation", ["val", "VALID", "validation", "Dev"])
def test_folders_of_splits_are_kept_as_splits(tmp_path, form, classes, around, validation):
    names = {"test": "Testing", "train": "training", "validation": validation}
    path = placed(tmp_path / "pets", split_files(names, classes, around), form)
    collection, splits = read(path), load(DataConfig(source=str(path)))
    assert (collection.num_validation, collection.num_test) == (3, 4)
    assert collection.notes == ("predefined splits: train 12, validation 3, test 4",)
    assert collection.label_names == (("c", "d") if classes else ())
    found = [sorted(part.values[:, 0, 0, 0].tolist()) for part in (splits.train, splits.validation, splits.test)]
    assert found == [[*range(105, 117)], [*range(117, 120)], [*range(101, 105)]]


@pytest.mark.parametrize(("missing", "sizes"), [("validation", (11, 1, 4)), ("test", (11, 3, 1))])
def test_a_split_that_is_not_given_is_a_tenth_of_the_training_images(tmp_path, missing, sizes):
    names = {split: split for split in SIZES if split != missing}
    splits = load(DataConfig(source=str(placed(tmp_path / "pets", split_files(names, False), "folder"))))
    parts = (splits.train, splits.validation, splits.test)
    assert tuple(map(len, parts)) == sizes
    values = np.concatenate([part.values[:, 0, 0, 0] for part in parts])
    assert len(set(values.tolist())) == sum(SIZES[split] for split in names)


def test_train_among_other_names_is_a_class(tmp_path):
    folder = save_images(tmp_path, {"train/1.png": grey(1), "plane/2.png": grey(2), "boat/3.png": grey(3)})
    assert read(folder).label_names == ("boat", "plane", "train")
    assert (read(folder).num_validation, read(folder).num_test) == (0, 0)


@pytest.mark.parametrize(("name", "named"), [("extra/1.png", "extra"), ("1.png", "images outside any folder")])
def test_splits_beside_other_images_are_refused(tmp_path, name, named):
    folder = save_images(tmp_path, {"train/1.png": grey(1), "test/2.png": grey(2), name: grey(3)})
    assert f"contains splits (test, train) and also {named}; remove one or the other" in refusal(folder)


def test_a_split_without_classes_has_no_labels_and_it_is_said(tmp_path):
    folder = save_images(tmp_path, {"train/a/1.png": grey(1), "train/b/2.png": grey(2), "test/3.png": grey(3)})
    collection = read(folder)
    assert labels_of(collection) == {"train/a/1.png": "a", "train/b/2.png": "b", "test/3.png": "(none)"}
    assert "no labels for test" in collection.notes


def test_broken_images_leave_the_splits_apart(tmp_path):
    files = split_files({split: split for split in SIZES}, classes=False)
    files |= dict.fromkeys(["train/3.png", "validation/0.png", "test/1.png", "test/2.png"], b"broken")
    options = ReadingOptions(images=ImageOptions(skip_broken=True))
    collection = read(placed(tmp_path / "pets", files, "folder"), options)
    assert (len(collection.examples), collection.num_validation, collection.num_test) == (15, 2, 2)
    assert [name.split("/")[0] for name in collection.ids[-4:]] == ["validation", "validation", "test", "test"]


@given(st.sampled_from([name for names in NAMES.values() for name in names]), st.data())
def test_names_of_splits_are_known_in_any_case(name, data):
    spelled = "".join(data.draw(st.sampled_from([letter.upper(), letter])) for letter in name)
    assert name in NAMES[split_from_name(spelled)]


# ---- labels.csv


@given(st.permutations(["-3", "2", "10", "10.5", "07", "7", "a", "nan", "inf", "B", None]))
def test_labels_are_numbered_numbers_first_then_texts_then_the_missing_one(labels):
    positions, names = encode_labels(labels)
    assert names == ("-3", "2", "07", "7", "10", "10.5", "B", "a", "inf", "nan", "(none)")
    assert [names[position] for position in positions] == [label or "(none)" for label in labels]
