import codecs

import pytest

from beam_llmdag.errors import InputError
from beam_llmdag.records.encoding import check_encoding, not_utf8, utf8_chunks

TEXT = 'id,content\n1,"schön – gut"\n2,日本 🎉\n'


def read(data, encoding=None, size=3):
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(utf8_chunks(chunks or [b""], "in.csv", check_encoding(encoding))).decode("utf-8")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "UTF8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"]
)
def test_a_text_in_an_encoding_that_is_named_is_read_without_its_mark(encoding):
    assert read(TEXT.encode(encoding), encoding, size=7) == TEXT


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "iso8859-15"])
def test_a_western_text_is_read(encoding):
    assert read("schön 10€\n".encode("cp1252"), "cp1252") == "schön 10€\n"
    assert read("schön\n".encode(encoding), encoding) == "schön\n"


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_a_mark_of_utf_16_is_taken_away_also_where_the_order_of_bytes_is_named(mark):
    encoding = "utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be"
    assert read(mark + TEXT.encode(encoding), encoding, size=5) == TEXT


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-16", "the file is UTF-16; save it as UTF-8, or read it with encoding='utf-16'"),
        ("utf-32", "the file is UTF-32"),
        ("utf-16-le", "looks like UTF-16 without a byte order mark; .*encoding='utf-16-le'"),
        ("utf-16-be", "encoding='utf-16-be'"),
    ],
)
def test_a_wide_text_of_which_nobody_said_so_is_an_error_with_the_remedy(encoding, told):
    with pytest.raises(InputError, match=f"^in.csv: .*{told}"):
        read("id,content\n1,x\n".encode(encoding), size=1000)


def test_a_file_that_is_not_of_the_encoding_that_is_named_is_an_error():
    with pytest.raises(InputError, match=r"^in\.csv: the file is not utf-16"):
        read(b"\xff\xfea\x00b", "utf-16")
    with pytest.raises(InputError, match=r"^in\.csv: the file is not cp1252: .*Name another encoding"):
        read(b"a\x81b", "cp1252")


@pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13"])
def test_an_encoding_that_is_none_of_text_is_an_error(encoding):
    with pytest.raises(InputError, match=f"encoding '{encoding}' is not known"):
        check_encoding(encoding)


@pytest.mark.parametrize("text", ["schön – gut", "10€ für „alles“", "Ça coûte 5 £"])
def test_a_western_text_that_is_no_utf_8_is_recognised(text):
    """Case inputs-47."""
    told = not_utf8(text.encode("cp1252"))
    assert "looks like Windows-1252 (Latin-1): save the file as UTF-8, or read it with encoding='cp1252'" in told


@pytest.mark.parametrize(
    "data", ["Привет, мир".encode("cp1251"), "日本語のテキスト".encode("shift_jis"), "中文".encode("gbk")]
)
def test_the_encoding_of_another_alphabet_is_not_guessed(data):
    told = not_utf8(data)
    assert "cannot be told" in told
    assert "save the file as UTF-8" in told
