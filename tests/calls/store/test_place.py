from pathlib import Path

import pytest

from beam_llmdag.calls.store.place import DEFAULT_STORE, default_store, open_store
from beam_llmdag.calls.store.sqlite import SqliteStore
from beam_llmdag.errors import GraphError

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
        ("sqlite:~/s.sqlite", True, None, str(Path.home() / "s.sqlite")),
        ("SQLite:/y/s.sqlite", False, None, "/y/s.sqlite"),
        (None, True, "sqlite:/x/s.sqlite", "/x/s.sqlite"),
        ("./10:30.sqlite", True, None, str(Path("10:30.sqlite").absolute())),
        (Path("b:c.sqlite"), True, None, str(Path("b:c.sqlite").absolute())),
        ("redis://h/0", True, None, "redis://h/0"),
        ("postgresql://me:$PASSWORD@h/d", False, None, "postgresql://me:$PASSWORD@h/d"),
        (None, True, "redis://h/0", "redis://h/0"),
        (None, False, "postgres://h/d", "postgres://h/d"),
        (False, False, "redis://h/0", None),
    ],
)
def test_where_answers_are_kept(monkeypatch, option, local, variable, expected):
    monkeypatch.delenv("LLMDAG_STORE", raising=False)
    if variable is not None:
        monkeypatch.setenv("LLMDAG_STORE", variable)
    assert default_store(option, local=local) == expected


@pytest.mark.parametrize("place", ["/y/s.sqlite", "sqlite:/y/s.sqlite", Path("/y/s.sqlite")])
def test_a_path_is_the_place_of_a_store_in_sqlite(place):
    store = open_store(place)
    assert isinstance(store, SqliteStore)
    assert store.path == Path("/y/s.sqlite")


@pytest.mark.parametrize("place", ["mysql://me:secret@db/answers", "redis:secret", "gs://secret/s.sqlite", "sqlite:"])
@pytest.mark.parametrize("read", [open_store, lambda place: default_store(place, local=True)], ids=["open", "option"])
def test_a_store_of_a_kind_that_is_not_there_is_named_with_those_that_are(place, read):
    with pytest.raises(GraphError, match=r"a path or 'sqlite:path', .*there is none for '\w+:…'") as raised:
        read(place)
    assert "secret" not in str(raised.value)
