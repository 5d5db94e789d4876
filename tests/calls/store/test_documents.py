"""Documents beside the answers: the same in a file and on servers."""

from __future__ import annotations

import asyncio

from beam_llmdag.calls.store.answers import Later
from beam_llmdag.calls.store.documents import AT_ONCE, open_documents
from beam_llmdag.calls.store.place import open_store


def test_a_text_is_entered_once_and_read_by_its_kind_and_key(place):
    with open_documents(place) as documents:
        documents.add("replies", {"a": "1", "b": "2"})
        documents.add("replies", {"a": "other", "c": "3"})
        documents.add("pending", {"a": "of another kind"})
        assert [documents.get("replies", key) for key in "abcd"] == ["1", "2", "3", None]
        assert documents.keys("replies") == {"a", "b", "c"}
        documents.remove("replies", ["a", "unknown"])
    with open_documents(place) as documents:
        assert list(documents.all("replies")) == [("b", "2"), ("c", "3")]
        assert list(documents.all("pending")) == [("a", "of another kind")]


def test_all_are_read_however_many_there_are(place):
    texts = {f"{number:05}": str(number) for number in range(2 * AT_ONCE + 1)}
    with open_documents(place) as documents:
        documents.add("replies", texts)
        assert dict(documents.all("replies")) == texts
        documents.remove("replies", texts)
        assert documents.keys("replies") == set()


def test_a_text_is_swapped_only_for_the_one_that_is_there(place):
    with open_documents(place) as documents:
        assert documents.swap("leases", "x", None, "first")
        assert not documents.swap("leases", "x", None, "second")
        assert not documents.swap("leases", "x", "wrong", "second")
        assert documents.swap("leases", "x", "first", "second")
        assert documents.get("leases", "x") == "second"


def test_a_call_is_entered_for_later_and_found_with_its_reply(place):
    store = open_store(place)

    async def asked() -> list[Later]:
        looked = [
            await store.ask_later("k", None),
            await store.ask_later("k", "first"),
            await store.ask_later("k", "taken over \u0001 é"),
            await store.ask_later("k", None),
        ]
        await store.aclose()
        return looked

    assert asyncio.run(asked()) == [
        Later(None, None),
        Later("first", None),
        Later("taken over \u0001 é", None),
        Later("taken over \u0001 é", None),
    ]
    with open_documents(place) as documents:
        documents.add("replies", {"k": "answered"})

    async def found() -> Later:
        later = await store.ask_later("k", None)
        await store.aclose()
        return later

    assert asyncio.run(found()) == Later("taken over \u0001 é", "answered")
