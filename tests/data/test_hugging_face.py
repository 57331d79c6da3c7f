"""Data sets of Hugging Face's library: what their columns make, and what is refused. Nothing is fetched."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_files import COLOUR, RNG, grey, refusal, saved
from lowerbound.data import tables
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.images import ImageOptions
from lowerbound.data.sources import DataConfig, load
from lowerbound.data.tables import TableOptions

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()

CLASSES = datasets.ClassLabel(names=["cat", "dog"])


def dataset(**columns) -> "datasets.Dataset":
    """A data set of columns of (values, feature)."""
    features = {name: feature for name, (_, feature) in columns.items()}
    return datasets.Dataset.from_dict(
        {name: values for name, (values, _) in columns.items()}, features=datasets.Features(features)
    )


def numbered(num: int, first: int = 0) -> "datasets.Dataset":
    """Grey images that tell their number, of two classes by turns."""
    images = [Image.fromarray(np.full((4, 5), first + index, np.uint8)) for index in range(num)]
    return dataset(image=(images, datasets.Image()), label=([index % 2 for index in range(num)], CLASSES))


def saved_to(folder: Path, data) -> Path:
    data.save_to_disk(str(folder))
    return folder


def arrow_file(folder: Path, data) -> Path:
    (file,) = saved_to(folder, data).glob("*.arrow")
    return file


def written_as_is(folder: Path, features: dict, *rows: dict) -> Path:
    folder.mkdir()
    path = folder / "data.arrow"
    with datasets.arrow_writer.ArrowWriter(path=str(path), features=datasets.Features(features)) as writer:
        for row in rows:
            writer.write(row)
        writer.finalize()
    return path


@pytest.mark.parametrize("save", [saved_to, arrow_file], ids=["folder", "file"])
def test_a_column_of_images_makes_images_labelled_by_the_column_of_classes(tmp_path, save):
    collection = read(save(tmp_path / "saved", numbered(6)))
    np.testing.assert_array_equal(collection.examples.values[:, 0, 0, 0], np.arange(6))
    assert collection.examples.event_shape == (1, 4, 5)
    np.testing.assert_array_equal(collection.examples.labels, [0, 1, 0, 1, 0, 1])
    assert collection.label_names == ("cat", "dog")


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_splits_for_validation_and_test_stay_and_all_others_are_trained_on(tmp_path, name):
    parts = {"test": numbered(3, 100), "train": numbered(20), name: numbered(5, 50), "extra": numbered(2, 200)}
    splits = load(DataConfig(source=str(saved_to(tmp_path / "saved", datasets.DatasetDict(parts)))))
    found = [sorted(part.values[:, 0, 0, 0]) for part in (splits.train, splits.validation, splits.test)]
    assert found == [[*range(20), 200, 201], [*range(50, 55)], [100, 101, 102]]
    assert "predefined splits: train 22, validation 5, test 3" in splits.notes
    assert "splits train, extra are read as one" in splits.notes


def test_of_a_test_split_without_another_everything_is_trained_on(tmp_path):
    parts = datasets.DatasetDict(test=numbered(20))
    splits = load(DataConfig(source=str(saved_to(tmp_path / "saved", parts))))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [16, 2, 2]


def test_arrays_and_tables_have_their_splits_too(tmp_path):
    x = datasets.Array2D((3, 2), "float32")
    parts = {split: dataset(x=(list(RNG.normal(size=(n, 3, 2))), x)) for split, n in (("train", 9), ("test", 4))}
    assert read(saved_to(tmp_path / "arrays", datasets.DatasetDict(parts))).num_test == 4
    value = datasets.Value("float64")
    parts = {split: dataset(a=(list(RNG.normal(size=n)), value)) for split, n in (("train", 9), ("val", 4))}
    collection = read(saved_to(tmp_path / "rows", datasets.DatasetDict(parts)))
    assert (collection.num_validation, collection.num_test) == (4, 0)


def test_a_broken_image_is_skipped_where_that_was_chosen_and_the_test_split_stays_apart(tmp_path):
    encoded = [saved(grey(index).save, "png") for index in range(12)]
    encoded[3] = encoded[11] = b"broken"
    images = dataset(image=([{"bytes": content, "path": None} for content in encoded], datasets.Image()))
    parts = datasets.DatasetDict(train=images.select(range(9)), test=images.select(range(9, 12)))
    path = saved_to(tmp_path / "saved", parts)
    assert ", row 3, is not a PNG" in refusal(path)
    splits = load(DataConfig(source=str(path), skip_broken=True))
    assert (len(splits.train) + len(splits.validation), len(splits.test), len(splits.skipped)) == (8, 2, 2)


def test_arrays_of_a_fixed_shape_are_read_as_arrays(tmp_path):
    signals = RNG.normal(size=(7, 3, 2)).astype(np.float32)
    data = dataset(x=(list(signals), datasets.Array2D((3, 2), "float32")), y=([0, 1] * 3 + [0], CLASSES))
    collection = read(saved_to(tmp_path / "signals", data))
    np.testing.assert_array_equal(collection.examples.values, signals)
    assert collection.label_names == ("cat", "dog")
    lists = dataset(x=(signals[:, 0].tolist(), datasets.List(datasets.Value("float32"))))
    np.testing.assert_array_equal(read(saved_to(tmp_path / "lists", lists)).examples.values, signals[:, 0])


def test_other_columns_make_a_table_as_the_same_csv_does(tmp_path):
    weights, kinds = [float(value) for value in RNG.normal(size=8)], ["cat", "dog", None, "cat"] * 2
    codes = [CLASSES.str2int(kind) if kind else -1 for kind in kinds]
    path = saved_to(tmp_path / "table", dataset(weight=(weights, datasets.Value("float64")), kind=(codes, CLASSES)))
    file = tmp_path / "table.csv"
    file.write_text(
        "weight,kind\n" + "".join(f"{weight!r},{kind or ''}\n" for weight, kind in zip(weights, kinds, strict=True))
    )
    ours, csv = read(path), read(file, ReadingOptions(tables=TableOptions(label="kind")))
    np.testing.assert_array_equal(ours.examples.values, csv.examples.values)
    np.testing.assert_array_equal(ours.examples.labels, csv.examples.labels)
    assert ours.examples.columns == csv.examples.columns and ours.label_names == csv.label_names


def test_a_folder_that_the_library_can_load_goes_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for kind in ("cat", "dog"):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(COLOUR + number).save(tmp_path / "pets" / kind / f"{number}.png")
    collection = read(Path(f"hf:{tmp_path / 'pets'}"))
    assert collection.label_names == ("cat", "dog") and collection.examples.values.shape == (10, *COLOUR.shape)


def test_a_data_set_does_not_make_other_files_of_the_machine_be_read(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "private.png")
    # Written as it stands: save_to_disk would take the file's content along.
    image = {"bytes": None, "path": str(tmp_path / "private.png")}
    message = refusal(written_as_is(tmp_path / "hostile", {"image": datasets.Image()}, {"image": image}))
    assert "refers to a file outside the data set" in message and ", row 0," in message


def two_columns(folder: Path) -> Path:
    images = [Image.fromarray(COLOUR)] * 3
    return saved_to(folder, dataset(left=(images, datasets.Image()), right=(images, datasets.Image())))


def ragged(folder: Path) -> Path:
    return saved_to(folder, dataset(x=([[1.0], [1.0, 2.0], []], datasets.List(datasets.Value("float32")))))


def without_rows(folder: Path) -> Path:
    return written_as_is(folder, {"x": datasets.Value("float32")})


def without_image(folder: Path) -> Path:
    return saved_to(folder, dataset(image=([None, None, None], datasets.Image())))


def truncated(folder: Path) -> Path:
    file = arrow_file(folder, numbered(20))
    file.write_bytes(file.read_bytes()[:-900])
    return file


def renamed(folder: Path) -> Path:
    file = folder.with_suffix(".arrow")
    Image.fromarray(COLOUR).save(file, "png")
    return file


def without_its_files(folder: Path) -> Path:
    for file in saved_to(folder, numbered(3)).glob("*.arrow"):
        file.unlink()
    return folder


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (two_columns, "has 2 columns of images, left, right; keep only the one to train on"),
        (ragged, "accepted: bool, integers or floats"),
        (without_rows, "has no rows"),
        (without_image, "has no image"),
        (truncated, "is not a data set"),
        (renamed, "is not a data set"),
        (without_its_files, "No such file"),
        (lambda folder: Path(f"hf:{folder / 'nothing'}"), "is not a data set"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_the_reason(tmp_path, monkeypatch, make, reason):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    assert reason in refusal(make(tmp_path / "data"))


def test_a_table_of_more_cells_than_can_be_held_is_refused(tmp_path, monkeypatch):
    path = saved_to(tmp_path / "table", dataset(x=([1.0, 2.0, 3.0], datasets.Value("float64"))))
    monkeypatch.setattr(tables, "CELL_BYTES", 2 * 2**30)
    assert "has 3 cells or more, but the limit is 2; raise the limit data.max_gib to 6" in refusal(path)


def test_a_label_column_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    path = saved_to(tmp_path / "saved", numbered(3))
    message = refusal(path, read=lambda path: read(path, ReadingOptions(tables=TableOptions(label="breed"))))
    assert "has no column 'breed' for labels; it has image, label" in message


def test_images_of_a_data_set_are_resized_as_files_are(tmp_path):
    path = saved_to(tmp_path / "saved", numbered(3))
    collection = read(path, ReadingOptions(images=ImageOptions(size=(8, 6), num_channels=3)))
    assert collection.examples.event_shape == (3, 6, 8) and "3 of 3 resized" in collection.notes[0]
    shutil.rmtree(path)
