"""Folders and archives: which files are images, in which split and with which label, and what is said of the others."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_files import COLOUR, grey, refusal, save_images, saved, written
from lowerbound.data.array_examples import encode_labels
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.images import ImageOptions, is_image_file
from lowerbound.data.sources import DataConfig, load
from lowerbound.data.split_names import NAMES, split_from_name


def placed(folder: Path, files: dict[str, bytes], form: str) -> Path:
    """The files in a folder, or in a zip archive."""
    if form == "folder":
        for name, content in files.items():
            written(folder / name, content)
        return folder
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return folder.with_suffix(".zip")


def png(value: int) -> bytes:
    return saved(grey(value).save, "png")


def labels_of(collection) -> dict[str, str]:
    return {
        name: collection.label_names[label]
        for name, label in zip(collection.ids, collection.examples.labels, strict=True)
    }


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
        "raw.NEF": saved(grey(1).save, "tiff"),
        "z": b"",
    }
    ignored = [".DS_Store", "Thumbs.db", ".cache/x.png", "._c.png", "__MACOSX/d.png", "a/.hidden/e.png", "desktop.ini"]
    files = {"a/1.png": png(1)} | others | dict.fromkeys(ignored, b"anything")
    collection = read(placed(tmp_path / "data", files, form))
    assert collection.ids == ("a/1.png",)
    assert collection.notes == ("not images, skipped: b/table.csv and 3 more",)


@both
def test_where_nothing_is_an_image_it_is_said_what_came(tmp_path, form):
    message = refusal(placed(tmp_path / "data", {"a.txt": b"x", "b.npy": b"y"}, form))
    assert "holds no images, but a.txt and 1 more; give a folder or zip of PNG, JPEG" in message


def test_a_suffixless_file_that_cannot_be_read_is_named(tmp_path):
    save_images(tmp_path, {"a.png": grey(1)})
    written(tmp_path / "b", b"")
    (tmp_path / "b").chmod(0)
    if os.access(tmp_path / "b", os.R_OK):
        pytest.skip("this user may read everything")
    assert "Permission denied" in refusal(tmp_path)


def test_class_folders_are_followed_where_they_are_links(tmp_path):
    save_images(tmp_path / "all", {"cat/1.png": grey(1), "dog/2.png": grey(2), "cow/3.png": grey(3)})
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
    files, value = {}, 0
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
    assert collection.notes == ("splits as given: train 12, validation 3, test 4",)
    assert collection.label_names == (("c", "d") if classes else ())
    found = [sorted(part.values[:, 0, 0, 0].tolist()) for part in (splits.train, splits.validation, splits.test)]
    assert found == [[*range(5, 17)], [*range(17, 20)], [*range(1, 5)]]


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
    assert f"holds splits (test, train) and also {named}; remove one or the other" in refusal(folder)


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


@both
@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("photos/{}.png", ["1", "2", "10"]),
        ("{}.png", ["0001", "0002", "0010"]),
        ("{}.png", ["07e2", "08e2", "1e400"]),
        ("{}.png", ["inf", "nan", "0x10"]),
        ("{}.png", ["true", "NA", "-"]),
        ("a/b/{}.png", [" 1 ", "2", "3.0"]),
    ],
)
@pytest.mark.parametrize("spelling", ["{stem}", "{name}", "{folder}/{name}", "{folder}/{stem}", "./{folder}/{name}"])
def test_ids_are_text_with_or_without_suffix_and_folder(tmp_path, form, name, ids, spelling):
    files = {name.format(at.strip()): png(number) for number, at in enumerate(ids)}
    rows = []
    for number, at in enumerate(ids):
        path = Path(name.format(at.strip()))
        folder = path.parent if path.parent != Path() else Path("data")  # the name of the folder that is read
        rows.append(f"{spelling.format(stem=path.stem, name=path.name, folder=folder)},label {number}")
    files["labels.csv"] = "\n".join(["id,label", *reversed(rows)]).encode()
    collection = read(placed(tmp_path / "data", files, form))
    found = {
        value: collection.label_names[label]
        for value, label in zip(
            collection.examples.values[:, 0, 0, 0].tolist(), collection.examples.labels, strict=True
        )
    }
    assert found == {number: f"label {number}" for number in range(3)}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte-order mark"])
def test_labels_are_text_and_an_empty_cell_is_a_missing_label(tmp_path, separator, start):
    files = {f"{number}.png": png(number) for number in range(4)}
    rows = [
        ("Size", "FileName", "Class"),
        ("1", "0", "none"),
        ("2", "1", "NA"),
        ("3", "2", '"1,5|a;b"'),
        ("4", "3", ""),
    ]
    files["labels.csv"] = start + "\r\n".join(separator.join(row) for row in rows).encode()
    collection = read(placed(tmp_path / "data", files, "folder"))
    assert labels_of(collection) == {
        "0.png": "none",
        "1.png": "NA",
        "2.png": "1,5|a;b",
        "3.png": "(none)",
    }


def test_labels_come_from_a_csv_that_is_named(tmp_path):
    folder = save_images(tmp_path / "photos", {"a.png": grey(1), "sub/b.png": grey(2), "c.png": grey(3)})
    file = written(
        tmp_path / "which.csv", b"filename,weather,label\nsub/b.png,sun,spring\nc.png,rain,autumn\na,rain,spring\n"
    )
    collection = read(folder, ReadingOptions(labels=str(file)))
    assert labels_of(collection) == {"a.png": "spring", "c.png": "autumn", "sub/b.png": "spring"}


@both
def test_labels_csv_goes_before_the_names_of_folders_and_lies_anywhere_above_the_images(tmp_path, form):
    files = {"data/images/p/1.png": png(1), "data/images/q/1.png": png(2)}
    for place in ("", "data/", "data/images/"):
        table = {f"{place}labels.csv": b"id,label\np/1,x\nq/1,y\n"}
        collection = read(placed(tmp_path / f"set{len(place)}", files | table, form))
        assert labels_of(collection) == {"data/images/p/1.png": "x", "data/images/q/1.png": "y"}


@both
def test_each_split_may_have_its_labels_csv(tmp_path, form):
    files = {"train/1.png": png(1), "train/2.png": png(2), "test/1.png": png(3), "val/9.png": png(4)}
    files |= {"train/labels.csv": b"id,label\n1,a\n2,b\n", "test/metadata.csv": b"file_name,label\n1.png,b\n"}
    collection = read(placed(tmp_path / "pets", files, form))
    assert labels_of(collection) == {
        "train/1.png": "a", "train/2.png": "b", "val/9.png": "(none)", "test/1.png": "b"
    }  # fmt: skip
    assert "no labels for validation" in collection.notes


def test_a_table_at_the_top_names_images_of_all_splits(tmp_path):
    files = {"train/1.png": png(1), "train/2.png": png(2), "test/1.png": png(3)}
    files["labels.csv"] = b"id,label\ntrain/1,a\n2,b\ntest/1,c\n"
    collection = read(placed(tmp_path / "pets", files, "folder"))
    assert labels_of(collection) == {"train/1.png": "a", "train/2.png": "b", "test/1.png": "c"}


@pytest.mark.parametrize(
    ("names", "rows", "reason"),
    [
        (["a.png", "b.png"], "a,x", "has no label for 1 of 2 images, such as b.png"),
        (
            ["p/1.png", "q/1.png"],
            "p/1,x\n1,y",
            "has the id '1' in line 3, which matches p/1.png, q/1.png; add folder and",
        ),
        (
            ["07.png", "07.jpg"],
            "07,x\n07.jpg,y",
            "has the id '07' in line 2, which matches 07.jpg, 07.png; add folder and",
        ),
        (["a.png"], "a,x\na.png,y", "gives a.png several labels (x in line 2, y in line 3); keep one row"),
        (["a.png"], "a,x\na.png,", "gives a.png several labels (x in line 2, none in line 3)"),
        (["a.png"], "a,x,3", "has 3 cells in line 2, its header names 2 columns"),
        (
            ["a.png"],
            'a,"x',
            "is not a CSV of file names and labels in UTF-8, or it is damaged (unexpected end of data)",
        ),
    ],
)
def test_labels_that_are_ambiguous_or_incomplete_are_refused_with_the_names(tmp_path, names, rows, reason):
    save_images(tmp_path, {name: grey(1) for name in names})
    assert reason in refusal(tmp_path, named=written(tmp_path / "labels.csv", f"id,label\n{rows}".encode()))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"photo,label\na.png,x\n", "has no column for file names; accepted: one of file, filename"),
        (b"file,weather\na.png,x\n", "has no column for labels; accepted: one of label, class"),
        (b"", "the header is nothing"),
        (b"file,label\n\xff\xfe,x\n", "in UTF-8, or it is damaged"),
        (b"a" * 200_000, "field larger than field limit"),
    ],
)
def test_a_labels_csv_without_names_or_labels_is_refused(tmp_path, content, reason):
    save_images(tmp_path, {"a.png": grey(1)})
    file = written(tmp_path / "labels.csv", content)
    assert reason in refusal(tmp_path, named=file)
    if content.startswith(b"aa"):
        assert reason in refusal(tmp_path, named=file.rename(tmp_path / "metadata.csv"))


def test_a_metadata_csv_without_labels_is_of_no_account_and_it_is_said(tmp_path):
    save_images(tmp_path, {"p/a.png": grey(1), "q/b.png": grey(2)})
    file = written(tmp_path / "metadata.csv", b"file,camera\np/a.png,x\n")
    collection = read(tmp_path)
    assert labels_of(collection) == {"p/a.png": "p", "q/b.png": "q"}
    assert collection.notes == (f"{file} is not used: it has no columns of file names and labels",)


def test_the_whole_path_of_an_image_names_that_image(tmp_path):
    save_images(tmp_path, {"a.png": grey(1), "sub/a.png": grey(2), "b.png.jpg": grey(3), "b.png": grey(4)})
    written(tmp_path / "labels.csv", b"id,label\na.png,x\nsub\\a.png,y\nb.png,z\nb.png.jpg,w\na.png,x\n")
    assert labels_of(read(tmp_path)) == {"a.png": "x", "sub/a.png": "y", "b.png": "z", "b.png.jpg": "w"}


def test_rows_that_match_no_image_are_counted_and_named(tmp_path):
    save_images(tmp_path, {"a.png": grey(1)})
    file = written(tmp_path / "labels.csv", b"id,label\na,x\nb.png,y\nc,z\n\n")
    assert read(tmp_path).notes == (f"{file}: 2 rows match no image, such as b.png",)


def test_labels_of_broken_images_are_skipped_with_them(tmp_path):
    save_images(tmp_path, {"a.png": grey(1), "c.png": grey(3)})
    written(tmp_path / "b.png", b"broken")
    written(tmp_path / "labels.csv", b"id,label\nc,z\nb,y\na,x\n")
    collection = read(tmp_path, ReadingOptions(images=ImageOptions(skip_broken=True)))
    assert labels_of(collection) == {"a.png": "x", "c.png": "z"} and collection.notes == ()


@given(st.permutations(["-3", "2", "10", "10.5", "07", "7", "a", "nan", "inf", "B", None]))
def test_labels_are_numbered_numbers_first_then_texts_then_the_missing_one(labels):
    positions, names = encode_labels(labels)
    assert names == ("-3", "2", "07", "7", "10", "10.5", "B", "a", "inf", "nan", "(none)")
    assert [names[position] for position in positions] == [label or "(none)" for label in labels]
