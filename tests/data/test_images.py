"""Image files, in folders and archives, become one array with labels, or one line that says why not."""

import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from data_files import COLOUR, grey, refusal, save_images, saved, written
from lowerbound.data import folders
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.folders import read_folder
from lowerbound.data.images import ImageOptions
from lowerbound.data.reading import PIXEL_BYTES, Limit
from lowerbound.foundation.errors import DataError

RGB = Image.fromarray(COLOUR)
HALF_CLEAR = Image.fromarray(np.dstack([COLOUR, np.where(np.arange(20).reshape(4, 5) < 10, 255, 0).astype(np.uint8)]))
GREY = RGB.convert("L")
PALETTE = RGB.quantize(4)
ON_WHITE = np.where(np.arange(20).reshape(4, 5, 1) < 10, COLOUR, 255)


def read_with(path: Path, **options):
    return read(path, ReadingOptions(images=ImageOptions(**options)))


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


# ---- what becomes of the pixels


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (GREY, np.asarray(GREY)[..., np.newaxis]),
        (RGB, COLOUR),
        (HALF_CLEAR, ON_WHITE),
        (PALETTE, np.asarray(PALETTE.convert("RGB"))),
        (GREY.point(lambda value: 255 * (value > 99), "1"), 255 * (np.asarray(GREY) > 99)[..., np.newaxis]),
    ],
    ids=["grey", "RGB", "transparent in part", "palette", "black and white"],
)
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_every_kind_of_png_becomes_grey_or_rgb_on_white(tmp_path, image, expected, form):
    if form == "folder":
        path = save_images(tmp_path, {"a.png": image})
    else:
        path = zipped(tmp_path / "a.zip", {"a.png": saved(image.save, "png")})
    examples = read(path).examples
    np.testing.assert_array_equal(examples.values[0], expected)
    assert examples.max_value == 255.0 and examples.layout == "image"


@pytest.mark.parametrize("suffix", ["bmp", "tif", "tiff", "webp", "png", "gif"])
def test_lossless_formats_are_read_to_the_bit(tmp_path, suffix):
    RGB.save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read(tmp_path).examples.values[0], COLOUR)


def test_a_jpeg_is_read_to_within_its_own_loss(tmp_path):
    images = read(save_images(tmp_path, {"a.jpg": grey(100), "b.JPEG": grey(200)})).examples.values
    np.testing.assert_allclose(images[:, 0, 0, 0], [100, 200], atol=2)


def test_grey_and_colour_together_become_rgb(tmp_path):
    images = read(save_images(tmp_path, {"a.png": grey(7), "b.png": RGB})).examples.values
    np.testing.assert_array_equal(images, [np.full((4, 5, 3), 7), COLOUR])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_images_are_rotated_upright_as_exif_says(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    RGB.save(tmp_path / f"a.{suffix}", exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    turns = {
        1: COLOUR,
        2: COLOUR[:, ::-1],
        3: COLOUR[::-1, ::-1],
        4: COLOUR[::-1],
        5: COLOUR.transpose(1, 0, 2),
        6: COLOUR.transpose(1, 0, 2)[:, ::-1],
        7: COLOUR.transpose(1, 0, 2)[::-1, ::-1],
        8: COLOUR.transpose(1, 0, 2)[::-1],
    }
    collection = read(tmp_path)
    np.testing.assert_array_equal(collection.examples.values[0], turns[orientation])
    assert collection.notes == (() if orientation == 1 else ("1 of 1 rotated upright",))


@pytest.mark.parametrize("suffix", ["tif", "gif", "png"])
def test_of_several_frames_the_first_is_read_and_a_note_says_so(tmp_path, suffix):
    grey(101).save(tmp_path / f"a.{suffix}", save_all=True, append_images=[grey(102), grey(103)])
    collection = read(tmp_path)
    assert collection.examples.values[0, 0, 0].tolist() in ([101], [101, 101, 101])
    assert collection.notes == ("1 of 1 with several frames, of which the first is read",)


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", "jpg"), ("CMYK", "tif"), ("LAB", "tif")])
def test_colours_of_print_are_converted_and_a_note_says_so(tmp_path, mode, suffix):
    Image.new("RGB", (5, 4), (200, 150, 100)).convert(mode).save(tmp_path / f"a.{suffix}")
    collection = read(tmp_path)
    assert f"1 of 1 converted from {mode} to colour" in collection.notes
    assert collection.examples.event_shape == (3, 4, 5)


# ---- sizes


def test_images_of_one_size_are_taken_as_they_are(tmp_path):
    collection = read(save_images(tmp_path, {"a.png": grey(101, (7, 1)), "b.png": grey(102, (7, 1))}))
    assert collection.examples.event_shape == (1, 1, 7)
    assert collection.resized_to is None and collection.notes == ()


def test_images_of_several_sizes_are_resized_to_their_middle_shape_and_a_note_says_so(tmp_path):
    images = {"a.png": grey(101, (40, 20)), "b.png": grey(102, (80, 40)), "c.png": grey(103, (60, 60))}
    collection = read(save_images(tmp_path, images))
    assert collection.resized_to == (64, 32)
    assert collection.examples.values.shape == (3, 32, 64, 1)
    assert collection.notes == ("3 of 3 resized to 64×32 pixels, cropped",)


def test_the_size_of_most_images_is_kept_and_the_others_are_resized_to_it(tmp_path):
    few = {"a.png": grey(101, (8, 6)), "b.png": grey(102, (8, 6)), "c.png": grey(103, (90, 90))}
    collection = read(save_images(tmp_path, few))
    assert collection.examples.event_shape == (1, 6, 8)
    assert collection.notes == ("1 of 3 resized to 8×6 pixels, cropped",)
    even = save_images(tmp_path / "even", few | {"d.png": grey(104, (90, 90))})
    assert read(even).notes[0].startswith("4 of 4 resized")


def test_large_images_are_made_smaller(tmp_path):
    assert read(save_images(tmp_path, {"a.png": grey(1, (600, 300))})).resized_to == (64, 32)


def test_crop_covers_the_size_and_fit_is_padded_with_black(tmp_path):
    halves = Image.new("L", (40, 20), 100)
    halves.paste(200, (10, 0, 30, 20))  # the middle
    save_images(tmp_path, {"a.png": halves})
    cropped = read_with(tmp_path, size=(20, 20)).examples.values[0, ..., 0]
    assert (cropped == 200).all()
    fitted = read_with(tmp_path, size=(20, 20), resize="fit").examples.values[0, ..., 0]
    assert (fitted[:5] == 0).all() and (fitted[15:] == 0).all() and (fitted[6:14] > 90).all()


def test_a_size_is_width_by_height(tmp_path):
    save_images(tmp_path, {"a.png": grey(1, (9, 9))})
    assert read_with(tmp_path, size=(6, 4)).examples.event_shape == (1, 4, 6)


# ---- labels and order


@pytest.mark.parametrize("form", ["folder", "zip", "zip around a folder"])
def test_labels_are_the_names_of_the_subfolders_and_images_come_in_the_order_of_their_paths(tmp_path, form):
    images = {"dog/b.png": grey(3), "cat/z.PNG": grey(2), "dog/a.png": grey(4), "cat/y.png": grey(1)}
    if form == "folder":
        collection = read(save_images(tmp_path, images))
    else:
        around = "archive/" if form == "zip around a folder" else ""
        members = {around + name: saved(image.save, "png") for name, image in images.items()}
        collection = read(zipped(tmp_path / "a.zip", members))
    assert collection.examples.values[:, 0, 0, 0].tolist() == [1, 2, 4, 3]
    assert collection.examples.labels.tolist() == [0, 0, 1, 1]
    assert collection.label_names == ("cat", "dog")
    assert [PurePosixPath(name).name for name in collection.ids] == ["y.png", "z.PNG", "a.png", "b.png"]


@pytest.mark.parametrize(
    "names",
    [("a.png", "b.png"), ("a.png", "cat/b.png"), ("all/a.png", "all/b.png"), ("x/cat/a.png", "y/dog/b.png")],
    ids=["flat", "not all in subfolders", "one subfolder", "two levels"],
)
def test_there_are_no_labels_where_subfolders_do_not_name_classes(tmp_path, names):
    collection = read(save_images(tmp_path, {name: grey(0) for name in names}))
    assert collection.examples.labels is None and collection.label_names == ()


# ---- damage, hostility, limits


@pytest.mark.parametrize(
    "content",
    [b"", b"no image", saved(RGB.save, "png")[:60], b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 4\n"],
)
def test_a_broken_image_is_named_and_stops_or_is_skipped_as_chosen(tmp_path, content):
    save_images(tmp_path, {"a.png": RGB, "c.png": RGB})
    broken = written(tmp_path / "b.png", content)
    message = refusal(tmp_path, named=broken)
    assert (
        "is not a PNG, JPEG, WebP, TIFF, BMP or GIF image, or it is damaged" in message
        and "data.skip_broken" in message
    )
    assert "<" not in message  # as of an object in memory
    collection = read_with(tmp_path, skip_broken=True)
    assert collection.ids == ("a.png", "c.png") and len(collection.examples) == 2
    assert len(collection.skipped) == 1 and collection.skipped[0].startswith(str(broken))


def test_where_every_image_is_broken_the_first_is_named(tmp_path):
    written(tmp_path / "b.png", b"")
    with pytest.raises(DataError, match=r"none of the images in .* can be read; the first reason: .*b\.png"):
        read_with(tmp_path, skip_broken=True)


def read_within(num_bytes):
    return lambda path: read(path, ReadingOptions(limit=Limit(num_bytes)))


@pytest.mark.parametrize(("most", "came"), [(9, "20 pixels"), (14, "20 pixels"), (19, "20 pixels")])
def test_an_image_of_more_pixels_than_the_limit_is_refused_and_pillows_own_limit_is_as_before(tmp_path, most, came):
    save_images(tmp_path, {"a.png": RGB})
    before = Image.MAX_IMAGE_PIXELS
    message = refusal(tmp_path, named=tmp_path / "a.png", read=read_within(most * PIXEL_BYTES))
    assert came in message and f"the limit is {most} in all; raise the limit data.max_gib to 1" in message
    assert before == Image.MAX_IMAGE_PIXELS
    assert len(read_within(20 * PIXEL_BYTES)(tmp_path).examples) == 1


def test_a_folder_that_decodes_to_more_than_the_limit_is_refused(tmp_path):
    image = Image.new("L", (4, 4))
    save_images(tmp_path, {f"{number}.png": image for number in range(60)})
    assert "choose a smaller data.size" in refusal(tmp_path, read=read_within(60 * 16 - 1))
    assert len(read_within(60 * 16)(tmp_path).examples) == 60


def test_nothing_of_an_archive_is_written_whatever_its_members_are_called(tmp_path):
    image = saved(grey(7).save, "png")
    hostile = {"../../outside.png": image, "/etc/passwd.png": image, "C:\\windows\\x.png": image}
    path = zipped(tmp_path / "in" / "a.zip" if (tmp_path / "in").mkdir() is None else tmp_path, hostile)
    before = {found for found in tmp_path.rglob("*")}
    assert len(read(path).examples) == 3
    assert {found for found in tmp_path.rglob("*")} == before


def test_a_member_that_claims_more_than_the_limit_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MAX_FILE_BYTES", 1000)
    path = zipped(tmp_path / "a.zip", {"a.png": bytes(1001)})
    assert "for 'a.png', but the limit is" in refusal(path)


def test_what_is_no_archive_or_holds_no_images_is_refused(tmp_path):
    assert "is not a zip archive of images, or it is damaged" in refusal(written(tmp_path / "a.zip", b"PK\x03\x04"))
    assert "contains no images" in refusal(zipped(tmp_path / "b.zip", {"a.txt": b"x"}))
    assert "contains no images" in refusal(tmp_path / "empty" if (tmp_path / "empty").mkdir() is None else tmp_path)


def test_a_folder_that_is_not_there_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_folder(tmp_path / "none", ImageOptions())
