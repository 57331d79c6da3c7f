"""labels.csv: which image an id names, and what is refused."""

from pathlib import Path

import pytest

from data_files import grey, labels_of, placed, png, refusal, save_images, written
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.images import ImageOptions

both = pytest.mark.parametrize("form", ["folder", "zip"])


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
        (["a.png", "b.png"], "a,x", "has no label for 1 of 2 images, such as b.png; add rows, with an empty label"),
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
        (["a.png"], "a,x,3", "has 3 cells in line 2, but its header has 2 columns"),
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
    save_images(tmp_path, {"p/a.png": grey(101), "q/b.png": grey(102)})
    file = written(tmp_path / "metadata.csv", b"file,camera\np/a.png,x\n")
    collection = read(tmp_path)
    assert labels_of(collection) == {"p/a.png": "p", "q/b.png": "q"}
    assert collection.notes == (f"{file} is not used: it has no columns of file names and labels",)


def test_the_whole_path_of_an_image_names_that_image(tmp_path):
    save_images(tmp_path, {"a.png": grey(1), "sub/a.png": grey(2), "b.png.jpg": grey(3), "b.png": grey(4)})
    written(tmp_path / "labels.csv", b"id,label\na.png,x\nsub\\a.png,y\nb.png,z\nb.png.jpg,w\na.png,x\n")
    assert labels_of(read(tmp_path)) == {"a.png": "x", "sub/a.png": "y", "b.png": "z", "b.png.jpg": "w"}


def test_rows_that_match_no_image_are_counted_and_named(tmp_path):
    save_images(tmp_path, {"a.png": grey(101)})
    file = written(tmp_path / "labels.csv", b"id,label\na,x\nb.png,y\nc,z\n\n")
    assert read(tmp_path).notes == (f"{file}: 2 rows match no image, such as b.png",)


def test_labels_of_broken_images_are_skipped_with_them(tmp_path):
    save_images(tmp_path, {"a.png": grey(101), "c.png": grey(103)})
    written(tmp_path / "b.png", b"broken")
    written(tmp_path / "labels.csv", b"id,label\nc,z\nb,y\na,x\n")
    collection = read(tmp_path, ReadingOptions(images=ImageOptions(skip_broken=True)))
    assert labels_of(collection) == {"a.png": "x", "c.png": "z"} and collection.notes == ()
