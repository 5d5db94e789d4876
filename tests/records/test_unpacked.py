"""Packed files, whole and otherwise, without a pipeline."""

import bz2
import gzip
import lzma
import random
import zlib

import pytest
import zstandard

from beam_llmdag.errors import InputError
from beam_llmdag.records.file_system import LOCAL
from beam_llmdag.records.unpacked import chunks_of

PACK = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
    ".deflate": zlib.compress,
}
ROWS = random.Random(1).randbytes(700_000)


def read(path):
    return b"".join(chunks_of(str(path), path.name, LOCAL))


@pytest.fixture(params=PACK)
def ending(request):
    return request.param


def test_a_whole_file_is_read_to_its_end(tmp_path, ending):
    path = tmp_path / f"in.csv{ending}"
    path.write_bytes(PACK[ending](ROWS))
    assert read(path) == ROWS


@pytest.mark.parametrize("missing", [1, 8, 3000, 700_000])
def test_a_file_whose_end_is_missing_is_an_error_that_names_it(tmp_path, ending, missing):
    """Case inputs-41."""
    path = tmp_path / f"in.csv{ending}"
    path.write_bytes(PACK[ending](ROWS)[:-missing])
    with pytest.raises(
        InputError, match=rf"^in\.csv\{ending}: the file (ends before its .* does: it is incomplete|is)"
    ):
        read(path)


def test_no_bytes_at_all_are_a_file_that_was_cut_and_a_packed_nothing_is_empty(tmp_path, ending):
    path = tmp_path / f"in.csv{ending}"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="incomplete"):
        read(path)
    path.write_bytes(PACK[ending](b""))
    assert read(path) == b""


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_a_file_of_several_parts_is_read_to_the_end_of_the_last(tmp_path, ending):
    path = tmp_path / f"in.csv{ending}"
    path.write_bytes(PACK[ending](b"a\n") + PACK[ending](ROWS) + PACK[ending](b"c\n"))
    assert read(path) == b"a\n" + ROWS + b"c\n"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="incomplete"):
        read(path)


def test_zeros_behind_a_gzip_file_are_padding_and_other_bytes_an_error(tmp_path):
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress(ROWS) + bytes(600))
    assert read(path) == ROWS
    path.write_bytes(gzip.compress(ROWS) + b"trailing garbage")
    with pytest.raises(InputError, match=r"in\.csv\.gz: behind the gzip data stands something that is none"):
        read(path)


def test_bytes_that_were_changed_are_an_error_that_names_the_file(tmp_path, ending):
    if ending in (".lzma", ".zst"):
        pytest.skip("has no checksum")
    data = bytearray(PACK[ending](ROWS))
    data[len(data) // 2] ^= 0xFF
    path = tmp_path / f"in.csv{ending}"
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"^in\.csv.*damaged"):
        read(path)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (gzip.compress(b"id,content\n"), r"packed with gzip, which its name does not say; let it end in \.gz"),
        (bz2.compress(b"id,content\n"), "packed with bzip2"),
        (lzma.compress(b"id,content\n"), "packed with xz"),
        (PACK[".zst"](b"id,content\n"), "packed with zstd"),
        (b"PK\x03\x04 and more", "is a zip archive, which may hold several files; unpack it first"),
    ],
    ids=["gzip", "bzip2", "xz", "zstd", "zip"],  # a gzip file has the time in it
)
def test_a_packed_file_whose_name_says_nothing_is_an_error_that_says_how_it_is_packed(tmp_path, data, told):
    path = tmp_path / "in.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"^in.csv: the file .*{told}"):
        read(path)


def test_a_text_with_the_name_of_a_packed_file_is_an_error(tmp_path, ending):
    path = tmp_path / f"in.csv{ending}"
    path.write_bytes(b"id,content\n1,a long enough text to be no header of anything\n")
    with pytest.raises(InputError, match=r"^in\.csv"):
        read(path)
