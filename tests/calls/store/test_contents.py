"""What is in a store of any kind: added up, copied from kind to kind, exported, and cleared of what is old."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from helpers.put_answers import PAID, enter

from beam_llmdag.calls.store.answers import AnswerStore, Asked, Payer, StoredAnswer
from beam_llmdag.calls.store.contents import open_contents
from beam_llmdag.calls.store.copies import Removed, collect_garbage, copy_store, export_store, import_calls
from beam_llmdag.calls.store.ledger import LedgerTotal, clear_store, read_totals, why_asked
from beam_llmdag.calls.store.place import open_store
from beam_llmdag.cli import main
from beam_llmdag.errors import InputError
from beam_llmdag.records.result import Attempt

PAYER = Payer("r", "d", "i")
KINDS = ("sqlite", "postgres", "redis")
PAIRS = [pytest.param(*pair, marks=pytest.mark.processes) for pair in itertools.permutations(KINDS, 2)]
ODD = Attempt(
    model="m:x",
    error_class="invalid_answer",
    message='no "label"\0\ue000',
    http_status=200,
    request_id="r-1",
    raw_answer="ä\0\n\ue0000",
    prompt="Why?",
    latency_seconds=0.25,
)


def with_store(place: str, use: Callable[[AnswerStore], Any]) -> Any:
    async def run() -> Any:
        store = open_store(place)
        try:
            return await use(store)
        finally:
            await store.aclose()

    return asyncio.run(run())


def filled(place: str, count: int = 3) -> str:
    """The place of a store with so many good calls, a bad one, and one in flight."""

    async def fill(store: Any) -> None:
        for number in range(count):
            await enter(store, f"k{number}", f"answer {number}")
        await enter(store, "bad", None, ODD)
        await store.adopt("k0", "renamed")
        store.begin(Asked(key="k", model="m:x", payer=PAYER, parts="{}"))

    with_store(place, fill)
    return place


def found(place: str, *keys: str) -> Any:
    return with_store(place, lambda store: store.find(keys, PAYER))


def test_totals_are_by_model_with_calls_in_flight(place):
    usage = PAID.usage + PAID.usage
    assert read_totals(filled(place, 2)) == [
        LedgerTotal(model="m:x", calls=3, in_flight=1, unpriced_calls=1, cost_nano_usd=6, usage=usage, answers=2)
    ]


def test_calls_come_back_as_they_went_in(place):
    filled(place, 1)
    answers, paid, numbers = found(place, "k0", "bad")
    assert answers == [StoredAnswer(key="k0", model="m:x", text="answer 0", dimension="renamed")]
    assert (paid, len(numbers)) == ([PAID, ODD], 2)


def test_clearing_forgets_answers_and_keeps_what_was_paid(place):
    filled(place)
    assert clear_store(place) == 3
    assert found(place, "k0", "k1").answers == []
    [total] = read_totals(place)
    assert (total.calls, total.answers) == (4, 0)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_copy_of_any_kind_answers_as_the_original(source, target, new_place):
    old, new = filled(new_place(source)), new_place(target)
    keys = ("k0", "k1", "k2", "bad")
    original = found(old, *keys)
    assert (copy_store(old, new), copy_store(old, new)) == (4, 0)
    assert found(new, *keys) == original
    with open_contents(old) as before, open_contents(new) as after:
        assert list(before.calls()) == list(after.calls())


def test_an_export_can_be_read_by_anybody_and_imported(place, tmp_path):
    file = io.StringIO()
    assert export_store(filled(place), file) == 4
    records = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [record["answer"] for record in records] == ["answer 0", "answer 1", "answer 2", None]
    assert [record["owner"] for record in records] == ["renamed", None, None, None]
    assert (records[3]["raw_answer"], records[3]["subject"]) == (ODD.raw_answer, "i")
    elsewhere = tmp_path / "elsewhere.sqlite"
    assert import_calls(file.getvalue().splitlines(), elsewhere) == 4
    assert import_calls(file.getvalue().splitlines(), place) == 0
    assert found(str(elsewhere), "k0", "bad") == found(place, "k0", "bad")


@pytest.mark.parametrize("line", ["no json", "[]", '{"number": 1}'])
def test_a_line_that_is_no_call_is_named(tmp_path, line):
    with pytest.raises(InputError, match="line 1 is no call"):
        import_calls([line], tmp_path / "s.sqlite")


def test_the_oldest_calls_go_until_the_others_take_no_more_than_their_room(place):
    filled(place)
    with open_contents(place) as contents:
        sizes = [len(json.dumps(call, ensure_ascii=False).encode()) for call in contents.calls()]
    room = sum(sizes[2:])
    assert collect_garbage(place, most_bytes=room, dry_run=True) == Removed(2, 6)
    assert len(found(place, "k0", "k1", "k2").answers) == 3
    assert collect_garbage(place, most_bytes=room) == Removed(2, 6)
    assert [answer.key for answer in found(place, "k0", "k1", "k2").answers] == ["k2"]


def test_calls_that_are_older_than_some_age_go(place, tmp_path):
    file = io.StringIO()
    export_store(filled(place), file)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    lines[0]["ended_at"] = (datetime.now(UTC) - timedelta(days=40)).isoformat(timespec="milliseconds")[:23] + "Z"
    aged = tmp_path / "aged.sqlite"
    import_calls(map(json.dumps, lines), aged)
    assert collect_garbage(aged, older=timedelta(days=30)) == Removed(1, 3)
    assert collect_garbage(place, older=timedelta(days=30)) == Removed(0, 0)


def test_why_something_was_asked_again_is_told_of_any_store(place):
    async def ask(store: Any) -> None:
        for key, digest in (("one", "a"), ("two", "b")):
            asked = Asked(key=key, model="m:x", payer=PAYER, parts=json.dumps({"model": "m", "messages": digest}))
            await store.end(store.begin(asked), asked, PAID, "yes")

    with_store(place, ask)
    assert why_asked(place, "d", "i").endswith("what differs: messages")
    with pytest.raises(InputError, match="dimension 'd', item 'other': the store has no call"):
        why_asked(place, "d", "other")


def test_the_command_line_shows_moves_and_clears(tmp_path, place, capsys):
    filled(place)
    file, copy = str(tmp_path / "calls.jsonl"), str(tmp_path / "copy.sqlite")
    told = []
    for words in (
        ["ledger", place, "--item", "i", "--dimension", "d", "--run", "r"],
        ["export", file, place],
        ["import", file, copy],
        ["copy", place, copy],
        ["gc", copy, "--max-size", "0.5kB", "--dry-run"],
        ["gc", copy, "--older", "30d"],
        ["clear", copy],
    ):
        assert main(["store", *words]) == 0
        told.append(capsys.readouterr().out.splitlines())
    assert [json.loads(line)["key"] for line in told[0]] == ["k0", "k1", "k2", "bad"]
    assert [lines[-1].split(" ", 2)[:2] for lines in told[1:4]] == [["4", "calls"], ["4", "calls"], ["0", "calls"]]
    assert "would be removed" in told[4][0]
    assert told[5] == ["0 calls removed, for which $0.000000 was paid"]
    assert told[6] == ["3 answers forgotten"]


@pytest.mark.parametrize("words", [["gc", "x.sqlite", "--older", "soon"], ["gc", "x.sqlite", "--max-size", "big"]])
def test_an_age_or_a_size_that_is_none_is_an_error(words, capsys):
    with pytest.raises(SystemExit):
        main(["store", *words])
    assert "write" in capsys.readouterr().err


def test_a_bad_answer_that_is_kept_is_found_as_a_good_one(place):
    filled(place, 1)
    with open_contents(place) as contents:
        [number] = [call.number for call in contents.calls() if call.columns["key"] == "bad"]
        contents.keep({number: "taken \0 after all"})
        contents.keep({})
    answers, paid, _ = found(place, "k0", "bad")
    assert [answer.text for answer in answers] == ["answer 0", "taken \0 after all"]
    assert paid == [PAID, ODD]
