from pathlib import Path

import pytest

from beam_llmdag.calls.store.place import DEFAULT_STORE, default_store

DEFAULT = str(DEFAULT_STORE.absolute())


@pytest.mark.parametrize(
    ("option", "local", "variable", "expected"),
    [
        (None, True, None, DEFAULT),
        (None, False, None, None),
        (True, False, None, DEFAULT),
        (False, True, "/x/s.sqlite", None),
        (None, True, "/x/s.sqlite", "/x/s.sqlite"),
        (None, False, "/x/s.sqlite", None),
        (True, False, "/x/s.sqlite", "/x/s.sqlite"),
        (None, True, "off", None),
        (None, True, " OFF ", None),
        (None, True, "", None),
        (True, True, "off", DEFAULT),
        ("/y/s.sqlite", False, "off", "/y/s.sqlite"),
        (Path("/y/s.sqlite"), True, None, "/y/s.sqlite"),
        ("s.sqlite", True, None, str(Path("s.sqlite").absolute())),
        ("~/s.sqlite", True, None, str(Path.home() / "s.sqlite")),
    ],
)
def test_where_answers_are_kept(monkeypatch, option, local, variable, expected):
    monkeypatch.delenv("LLMDAG_STORE", raising=False)
    if variable is not None:
        monkeypatch.setenv("LLMDAG_STORE", variable)
    assert default_store(option, local=local) == expected
