"""Files: what a flipped byte, a cut or a lie in the header costs. One line each, and nothing else is lost."""

import json
import zlib
from functools import partial

import numpy as np
import pytest

from coded_arrays import coded_run
from coded_tables import coded_table_run, written_table
from lowerbound.compression import container
from lowerbound.compression.codec import compress, decompress
from lowerbound.compression.container import PREFIX, TYPICAL, open_container
from lowerbound.foundation.errors import DataError, LowerboundError

NUM_DAMAGED = 1000


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A run, its values, and a file of four blocks."""
    folder = tmp_path_factory.mktemp("file")
    _, values = coded_run(folder / "run", "bernoulli")
    compress(folder / "run", values, folder / "x.lb", block=10)
    return folder / "run", values, folder / "x.lb"


def repacked(content, change):
    """The file with another header, whose checksum is right."""
    _, version, zero, length, _ = PREFIX.unpack(content[: PREFIX.size])
    packed = content[PREFIX.size : PREFIX.size + length]
    header = json.loads(zlib.decompressobj(wbits=-15, zdict=TYPICAL).decompress(packed))
    change(header)
    packer = zlib.compressobj(9, wbits=-15, zdict=TYPICAL)
    new = packer.compress(json.dumps(header).encode()) + packer.flush()
    prefix = PREFIX.pack(container.MAGIC, version, zero, len(new), zlib.crc32(new))
    return prefix + new + content[PREFIX.size + length :]


def test_the_header_takes_about_a_hundred_bytes(case):
    _, _, file = case
    _, _, _, length, _ = PREFIX.unpack(file.read_bytes()[: PREFIX.size])
    assert PREFIX.size + length < 60 + 35 * len(open_container(file).header.blocks)


def test_a_thousand_damaged_files_are_refused_in_one_line_or_lose_the_blocks_that_they_name(case, tmp_path):
    run, values, file = case
    content, stream = file.read_bytes(), np.random.default_rng(0)
    start = open_container(file).start
    damaged, lost = tmp_path / "damaged.lb", 0
    for trial in range(NUM_DAMAGED):
        broken = bytearray(content)
        place = int(stream.integers(len(content)))
        if trial % 4:
            broken[place] ^= 1 << int(stream.integers(8))
        else:
            del broken[place:]
        damaged.write_bytes(broken)
        try:
            found = decompress(damaged, run, skip_broken=True)
        except LowerboundError as error:
            assert "\n" not in str(error) and (place < start or not trial % 4)
            continue
        assert place >= start
        lost += len(found.lost)
        blocks = [int(reason.split()[1]) - 1 for reason in found.lost]
        assert len(blocks) == 1 or (not trial % 4 and blocks == list(range(blocks[0], 4)))
        kept = np.isin(np.arange(37) // 10, blocks, invert=True)
        np.testing.assert_array_equal(found.values, values[kept])
    assert lost > NUM_DAMAGED / 10


def test_a_damaged_table_loses_the_blocks_that_are_named(tmp_path):
    cells = written_table(tmp_path / "people.csv")
    coded_table_run(tmp_path / "run", tmp_path / "people.csv")
    compress(tmp_path / "run", tmp_path / "people.csv", tmp_path / "x.lb", block=40)
    content, start = (tmp_path / "x.lb").read_bytes(), open_container(tmp_path / "x.lb").start
    stream = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(content)
        broken[stream.integers(start, len(content))] ^= 1 << int(stream.integers(8))
        (tmp_path / "damaged.lb").write_bytes(broken)
        found = decompress(tmp_path / "damaged.lb", tmp_path / "run", skip_broken=True)
        (block,) = (int(reason.split()[1]) - 1 for reason in found.lost)
        kept = cells[1 : 1 + 40 * block] + cells[41 + 40 * block :]
        assert [list(row) for row in zip(*found.columns.values(), strict=True)] == kept


TABLE_LIES = {
    "no table": lambda header: header.pop("table"),
    "other columns": lambda header: header["table"].update(names=["a"]),
    "many levels": lambda header: header["table"]["columns"][0].update(num_levels=2**60),
    "more text than bytes": lambda header: header.update(texts=[10**9]),
    "fewer texts than blocks": lambda header: header.update(texts=[1, 2]),
    "no text": lambda header: header.update(texts=[0]),
    "labels": lambda header: header.update(labels=["a"]),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A run of a table and a file of it, of one block."""
    folder = tmp_path_factory.mktemp("table")
    written_table(folder / "people.csv")
    coded_table_run(folder / "run", folder / "people.csv")
    compress(folder / "run", folder / "people.csv", folder / "x.lb")
    return folder / "run", folder / "x.lb"


@pytest.mark.parametrize("lie", TABLE_LIES)
def test_a_table_that_lies_is_refused_in_one_line(table, tmp_path, lie):
    run, file = table
    (tmp_path / "x.lb").write_bytes(repacked(file.read_bytes(), TABLE_LIES[lie]))
    with pytest.raises(LowerboundError) as refused:
        decompress(tmp_path / "x.lb", run)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def test_damage_is_an_error_unless_the_rest_is_asked_for(case, tmp_path):
    run, _, file = case
    broken = bytearray(file.read_bytes())
    broken[-1] ^= 1
    (tmp_path / "x.lb").write_bytes(broken)
    with pytest.raises(DataError, match=r"damaged: block 4 \(examples 30 to 36\): its bytes are not what was written"):
        decompress(tmp_path / "x.lb", run)
    assert len(decompress(tmp_path / "x.lb", run, example=3).values) == 1
    gone = decompress(tmp_path / "x.lb", run, example=33, skip_broken=True)
    assert len(gone.values) == len(gone.names) == 0 and len(gone.lost) == 1


LIES = {
    "more bytes": lambda header: header["blocks"][0].update(num_bytes=2**40),
    "no examples": lambda header: header["blocks"][0].update(num_examples=0),
    "too many examples": lambda header: header["blocks"][0].update(num_examples=10**9),
    "negative bytes": lambda header: header["blocks"][0].update(num_bytes=-5),
    "many exceptions": lambda header: header["blocks"][0].update(exception_bytes=10**9),
    "negative exceptions": lambda header: header["blocks"][0].update(num_exceptions=-1),
    "no lanes": lambda header: header.update(lanes=0),
    "huge blocks": lambda header: header.update(block=2**62),
    "a huge grid": lambda header: header["grid"].update(fineness=60),
    "a coarse grid": lambda header: header["grid"].update(coarseness=99),
    "a negative bound": lambda header: header["grid"].update(bound=-1),
    "no type": lambda header: header.update(dtype="object"),
    "another type": lambda header: header.update(dtype="pickle"),
    "another shape": lambda header: header.update(shape=[10**9, 10**9]),
    "another event": lambda header: header.update(event_shape=[1, 4, 5]),
    "another model": lambda header: header.update(model="0" * 32),
    "one level": lambda header: header.update(num_levels=1),
    "names": lambda header: header.update(names=["a"]),
    "a model": lambda header: header.update(model_bytes=10**12),
    "no key": lambda header: header.pop("lanes"),
    "an unknown key": lambda header: header.update(more=1),
    "text for a number": lambda header: header.update(lanes="4"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused_in_one_line(case, tmp_path, lie):
    run, _, file = case
    (tmp_path / "x.lb").write_bytes(repacked(file.read_bytes(), LIES[lie]))
    with pytest.raises(LowerboundError) as refused:
        decompress(tmp_path / "x.lb", run)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def _with_crc(crc, header):
    header["blocks"][0].update(crc=crc)


def test_words_that_lie_are_noticed(case, tmp_path):
    run, _, file = case
    content = file.read_bytes()
    opened = open_container(file)
    entry = opened.header.blocks[0]
    stream = np.random.default_rng(1)
    for trial in range(20):
        words = stream.integers(0, 2 if trial % 2 else 256, entry.num_bytes).astype(np.uint8).tobytes()
        changed = content[: opened.start] + words + content[opened.start + entry.num_bytes :]
        lie = partial(_with_crc, zlib.crc32(words))
        (tmp_path / "x.lb").write_bytes(repacked(changed, lie))
        assert len(decompress(tmp_path / "x.lb", run, skip_broken=True).lost) == 1


def test_other_files_are_refused(case, tmp_path):
    run, _, _ = case
    (tmp_path / "text.lb").write_text("not a file of examples")
    with pytest.raises(DataError, match="is not a file of compressed examples"):
        decompress(tmp_path / "text.lb", run)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        decompress(tmp_path / "nothing.lb", run)
    with pytest.raises(DataError, match="cannot be read"):
        decompress(tmp_path, run)


def test_a_newer_version_is_named(case, tmp_path):
    run, _, file = case
    content = bytearray(file.read_bytes())
    content[8] = 9
    (tmp_path / "x.lb").write_bytes(content)
    with pytest.raises(DataError, match=r"has version 9\.0; this lowerbound reads version 1\.0"):
        decompress(tmp_path / "x.lb", run)
