"""The answer store as the call layer uses it: what hits, what misses, and what is never served."""

import asyncio
from dataclasses import replace
from typing import Literal

import pytest
from helpers.calls import GOOD, LABEL, classes, eventually, failed, make_caller, question
from pydantic import BaseModel, field_validator

from beam_llmdag.calls.question import Question
from beam_llmdag.calls.store.answers import Found
from beam_llmdag.calls.store.ledger import read_totals
from beam_llmdag.calls.store.place import open_store
from beam_llmdag.errors import StoreError
from beam_llmdag.model import Answer, Image, Message, Model
from beam_llmdag.outputs.output import Output
from beam_llmdag.testing import ScriptedProvider


def run(place, provider, *questions, run_id=None, dimensions=()):
    """The replies to questions asked at the same time by a caller of its own, as in a new run."""
    store = open_store(place)

    async def asking():
        caller = make_caller({"scripted": provider}, store=store, run_id=run_id, dimensions=dimensions)
        try:
            return await asyncio.gather(*(caller.ask(one) for one in questions))
        finally:
            await caller.aclose()
            await store.aclose()

    return asyncio.run(asking())


def calls_made(place, *questions):
    """How many calls a run over `questions`, one after the other, makes."""
    provider = ScriptedProvider([GOOD])
    for one in questions:
        run(place, provider, one)
    return len(provider.requests)


def test_a_stored_answer_costs_nothing_and_says_so(place):
    provider = ScriptedProvider([GOOD])
    run(place, provider, question())
    [reply] = run(place, provider, question())
    assert (reply.data, reply.model, reply.attempts, reply.store_hit) == (GOOD, "scripted:a", [], True)
    assert len(provider.requests) == 1


def test_a_stored_answer_is_validated_again_and_asked_again_where_it_no_longer_fits(place):
    def label(allowed):
        class Label(BaseModel):
            label: Literal["a", "b"]

            @field_validator("label")
            @classmethod
            def check(cls, value):
                assert value in allowed
                return value

        return Output(Label)

    provider = ScriptedProvider([{"label": "a"}, {"label": "b"}])
    run(place, provider, question(output=label("ab")))
    [reply] = run(place, provider, question(output=label("b")))
    assert (reply.data, reply.store_hit) == ({"label": "b"}, False)
    [again] = run(place, provider, question(output=label("b")))
    assert (again.data, again.store_hit) == ({"label": "b"}, True)


def test_a_validator_that_breaks_on_a_stored_answer_is_not_paid_for_again(place):
    class Label(BaseModel):
        label: Literal["a", "b"]

        @field_validator("label")
        @classmethod
        def check(cls, value):
            return {}[value]

    provider = ScriptedProvider([GOOD])
    run(place, provider, question())
    [reply] = run(place, provider, question(output=Output(Label)))
    assert reply.error.error_class == "user_function"
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "bad",
    [
        failed("bad_request"),
        Answer(text='{"label": "a"}', stop="refusal"),
        Answer(text='{"label": "a"}', stop="length"),
        '{"label": "c"}',
    ],
    ids=["failed", "refused", "truncated", "invalid"],
)
def test_only_good_answers_are_served(place, bad):
    model = Model("scripted:a", attempts=1)
    provider = ScriptedProvider([bad, GOOD])
    [first] = run(place, provider, question(model=model))
    [second] = run(place, provider, question(model=model))
    assert first.error is not None
    assert (second.data, second.store_hit) == (GOOD, False)


def test_the_stored_answer_of_a_fallback_is_served_without_asking_the_first_model(place):
    def answer(request):
        if request.model.name == "a":
            raise failed("bad_request")
        return GOOD

    provider = ScriptedProvider(answer)
    asked = question(model=Model("scripted:a", fallbacks=["scripted:b"]))
    run(place, provider, asked)
    [reply] = run(place, provider, asked)
    assert (reply.model, reply.store_hit) == ("scripted:b", True)
    assert [request.model.name for request in provider.requests] == ["a", "b"]


def test_an_answer_that_was_asked_again_for_is_kept_under_the_first_question(place):
    provider = ScriptedProvider(["not json", GOOD])
    run(place, provider, question())
    [reply] = run(place, provider, question())
    assert (reply.data, reply.store_hit) == (GOOD, True)


def test_identical_questions_in_flight_are_asked_once(place):
    provider = ScriptedProvider([GOOD], latency_seconds=0.01)
    replies = run(place, provider, *[question()] * 200)
    assert [reply.data for reply in replies] == [GOOD] * 200
    assert [reply.store_hit for reply in replies].count(False) == 1
    assert len(provider.requests) == 1


def test_identical_questions_of_two_dimensions_are_asked_once_where_the_temperature_is_0(place):
    provider = ScriptedProvider([GOOD], latency_seconds=0.01)
    model = Model("scripted:a", temperature=0)
    asked = [question(dimension=name, model=model) for name in ("x", "y") * 20]
    replies = run(place, provider, *asked, dimensions=("x", "y"))
    assert [reply.data for reply in replies] == [GOOD] * 40
    assert len(provider.requests) == 1


@pytest.mark.parametrize("temperature", [None, 0.7])
@pytest.mark.parametrize("at_once", [True, False], ids=["at the same time", "one after the other"])
def test_identical_questions_of_two_dimensions_have_an_answer_each(place, temperature, at_once):
    provider = ScriptedProvider([{"label": "a"}, {"label": "b"}])
    model = Model("scripted:a", temperature=temperature)
    asked = [question(dimension=name, model=model) for name in ("x", "y")]

    def answers():
        runs = [asked] if at_once else [[one] for one in asked]
        replies = [reply for some in runs for reply in run(place, provider, *some, dimensions=("x", "y"))]
        return [reply.data["label"] for reply in replies], [reply.store_hit for reply in replies]

    assert answers() == (["a", "b"], [False, False])
    assert answers() == (["a", "b"], [True, True])


def test_dimensions_that_ask_the_same_find_their_answers_in_any_order(place):
    provider = ScriptedProvider([{"label": "a"}, {"label": "b"}])
    asked = [question(dimension=name) for name in ("x", "y")]
    first = run(place, provider, *asked, dimensions=("x", "y"))
    again = run(place, provider, *reversed(asked), dimensions=("x", "y"))
    assert [reply.data for reply in reversed(again)] == [reply.data for reply in first]
    assert [reply.store_hit for reply in again] == [True, True]


def test_a_renamed_dimension_finds_its_answers(place):
    provider = ScriptedProvider([{"label": "a"}, {"label": "b"}])
    run(place, provider, question(dimension="old"), dimensions=("old",))
    [reply] = run(place, provider, question(dimension="new"), dimensions=("new",))
    assert (reply.data, reply.store_hit) == ({"label": "a"}, True)


def test_an_answer_that_a_renamed_dimension_took_over_is_not_anothers_as_well(place):
    provider = ScriptedProvider([{"label": "a"}, {"label": "b"}])
    run(place, provider, question(dimension="old"), dimensions=("old",))
    asked = [question(dimension=name) for name in ("new", "twin")]
    replies = [reply for one in asked for reply in run(place, provider, one, dimensions=("new", "twin"))]
    assert [(reply.data["label"], reply.store_hit) for reply in replies] == [("a", True), ("b", False)]


def test_samples_of_a_question_are_asked_and_found_each(place):
    provider = ScriptedProvider([{"label": "a"}, {"label": "b"}, {"label": "a"}])
    asked = [question(sample=number) for number in range(3)]
    assert [reply.store_hit for reply in run(place, provider, *asked)] == [False] * 3
    again = run(place, provider, *asked)
    assert [(reply.data["label"], reply.store_hit) for reply in again] == [("a", True), ("b", True), ("a", True)]


def test_identical_questions_share_a_failure_which_is_billed_once(place):
    provider = ScriptedProvider([failed("refused", http_status=400), GOOD], latency_seconds=0.01)
    replies = run(place, provider, *[question()] * 10)
    assert [reply.error.error_class for reply in replies] == ["refused"] * 10
    assert [classes(reply) for reply in replies] == [["refused"]] * 10
    assert [reply.attempts[0].sent for reply in replies] == [True] + [False] * 9
    assert len(provider.requests) == 1


def test_a_question_with_more_patience_does_not_share_a_failure(place):
    provider = ScriptedProvider([failed("overloaded"), GOOD], latency_seconds=0.01)
    hasty, patient = question(model=Model("scripted:a", attempts=1)), question(model=Model("scripted:a", attempts=4))
    first, second = run(place, provider, hasty, patient)
    assert first.error.error_class == "overloaded"
    assert second.data == GOOD


def test_when_the_first_of_identical_questions_is_cancelled_another_asks(place):
    async def asking():
        provider = ScriptedProvider([GOOD], latency_seconds=lambda request: 60 if len(provider.requests) == 1 else 0.01)
        store = open_store(place)
        caller = make_caller({"scripted": provider}, store=store)
        tasks = [asyncio.create_task(caller.ask(question())) for _ in range(3)]
        await eventually(lambda: provider.in_flight == 1)
        tasks[0].cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        await caller.aclose()
        await store.aclose()
        return [getattr(reply, "data", type(reply).__name__) for reply in replies], len(provider.requests)

    assert asyncio.run(asking()) == (["CancelledError", GOOD, GOOD], 2)


def test_the_ledger_has_every_attempt_also_the_cancelled_one(place):
    async def asking():
        latencies = iter([0, 0, 0, 60])
        provider = ScriptedProvider(
            ["not json", failed("overloaded", http_status=529), GOOD], latency_seconds=lambda _: next(latencies)
        )
        store = open_store(place)
        caller = make_caller({"scripted": provider}, store=store)
        await caller.ask(question())
        task = asyncio.create_task(caller.ask(question("Other")))
        await eventually(lambda: provider.in_flight == 1)
        task.cancel()
        await caller.aclose()  # waits for what was cancelled
        await store.aclose()

    asyncio.run(asking())
    [total] = read_totals(place)
    assert (total.calls, total.unpriced_calls, total.answers) == (4, 1, 1)


def test_calls_that_were_not_sent_are_not_in_the_ledger(place):
    provider = ScriptedProvider([failed("quota_exhausted", http_status=429)])
    run(place, provider, *[question(str(n), model=Model("scripted:a", max_in_flight=1)) for n in range(5)])
    assert [total.calls for total in read_totals(place)] == [1]


def test_a_store_that_does_not_work_stops_the_question_before_a_call(tmp_path):
    (tmp_path / "file").write_text("")
    provider = ScriptedProvider([GOOD])
    with pytest.raises(StoreError, match="file"):
        run(tmp_path / "file" / "answers.sqlite", provider, question())
    assert provider.requests == []


def with_image(data):
    base = question()
    return replace(base, messages=(Message("user", ["What?", Image(data)]),))


def with_system_message(text):
    return question(system=text)


class Renamed(BaseModel):
    tag: str = "a"
    label: Literal["a", "b"] = "a"


CHANGES: dict[str, tuple[Question, Question]] = {
    "temperature": (question(), question(model=Model("scripted:a", temperature=0.5))),
    "temperature 0": (question(), question(model=Model("scripted:a", temperature=0))),
    "max_tokens": (question(), question(model=Model("scripted:a", max_tokens=10))),
    "effort": (question(), question(model=Model("scripted:a", effort="low"))),
    "model": (question(), question(model="scripted:b")),
    "base_url": (question(), question(model=Model("scripted:a", base_url="http://127.0.0.1:1"))),
    "extra_body": (question(), question(model=Model("scripted:a", extra_body={"top_k": 3}))),
    "extra_body inside": (
        question(model=Model("scripted:a", extra_body={"thinking": {"budget": 1}})),
        question(model=Model("scripted:a", extra_body={"thinking": {"budget": 2}})),
    ),
    "system of the dimension": (question(), question(system="Be kind.")),
    "system of the model": (question(), question(model=Model("scripted:a", system="Be kind."))),
    "prompt": (question("What?"), question("What? ")),
    "an image": (question(), with_image(b"1")),
    "another image": (with_image(b"1"), with_image(b"2")),
    "another field": (question(), question(output=Output(Renamed))),
    "a description": (
        question(output=Output({"type": "object", "properties": {"label": {"description": "one"}}})),
        question(output=Output({"type": "object", "properties": {"label": {"description": "two"}}})),
    ),
    "order of fields": (
        question(output=Output({"type": "object", "properties": {"label": {}, "why": {}}})),
        question(output=Output({"type": "object", "properties": {"why": {}, "label": {}}})),
    ),
    "no schema": (question(), question(output=Output(str))),
    "role": (
        question(),
        replace(question(), messages=(Message("user", "Hi"), Message("assistant", "What?"), Message("user", "?"))),
    ),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_what_can_change_the_answer_makes_it_miss(place, changed):
    assert calls_made(place, *CHANGES[changed]) == 2


SAME: dict[str, tuple[Question, Question]] = {
    "a new run": (question(), question()),
    "dimension": (question(dimension="x"), question(dimension="y")),
    "attempts": (question(), question(model=Model("scripted:a", attempts=9))),
    "time-out": (question(), question(model=Model("scripted:a", timeout_seconds=5))),
    "deadline": (question(), question(deadline_seconds=5)),
    "in flight": (question(), question(model=Model("scripted:a", max_in_flight=5))),
    "key": (question(), question(model=Model("scripted:a", api_key_env="OTHER"))),
    "a fallback": (question(), question(model=Model("scripted:a", fallbacks=["scripted:b"]))),
    "order of extra_body": (
        question(model=Model("scripted:a", extra_body={"x": 1, "y": {"p": 1, "q": 2}})),
        question(model=Model("scripted:a", extra_body={"y": {"q": 2, "p": 1}, "x": 1})),
    ),
    "0 and 0.0": (
        question(model=Model("scripted:a", temperature=0)),
        question(model=Model("scripted:a", temperature=0.0)),
    ),
    "one part or a text": (question("What?"), replace(question(), messages=(Message("user", ["What?"]),))),
    "another class of the same shape": (question(output=LABEL), question(output=Output(LABEL.declared))),
}


@pytest.mark.parametrize("changed", SAME)
def test_what_cannot_change_the_answer_does_not(place, changed):
    assert calls_made(place, *SAME[changed]) == 1


def test_an_answer_that_the_same_run_paid_for_the_same_item_is_on_the_bill_when_it_is_found_again(place):
    """Case beam-05: a repeated bundle finds its answers in the store, and the first bill went with its rows."""
    replies = []
    for run_id, subject in (("one", "a"), ("one", "a"), ("one", "b"), ("two", "a")):
        replies += run(place, ScriptedProvider([GOOD]), question(subject=subject), run_id=run_id)
    first, repeated, other_item, other_run = replies
    assert [reply.store_hit for reply in replies] == [False, True, True, True]
    assert repeated.attempts == first.attempts
    assert (other_item.attempts, other_run.attempts) == ([], [])


def test_a_call_holds_its_permit_until_its_answer_is_in_the_store():
    """What a killed process loses is at most what was in flight: an answer that is not stored yet counts as that."""
    provider = ScriptedProvider([GOOD])
    written = asyncio.Event()

    class SlowStore:
        claims = False

        async def find(self, keys, payer):
            return Found([], [], frozenset())

        def begin(self, asked):
            return 0

        async def end(self, number, asked, attempt, answer=None):
            await written.wait()

    async def asking():
        caller = make_caller({"scripted": provider}, store=SlowStore())
        model = Model("scripted:a", max_in_flight=2)
        asked = [asyncio.create_task(caller.ask(question(f"What is {n}?", model=model))) for n in range(5)]
        await eventually(lambda: len(provider.requests) == 2)
        for _ in range(100):
            await asyncio.sleep(0)
        sent_before = len(provider.requests)
        written.set()
        await asyncio.gather(*asked)
        return sent_before, len(provider.requests)

    assert asyncio.run(asking()) == (2, 5)


def test_a_stored_answer_of_null_is_served(place):
    provider = ScriptedProvider(["null"])
    asked = question(output=Output({"anyOf": [{"type": "integer"}, {"type": "null"}]}))
    replies = [reply for _ in range(2) for reply in run(place, provider, asked)]
    assert [(reply.error, reply.data, reply.store_hit) for reply in replies] == [
        (None, None, False),
        (None, None, True),
    ]


def test_of_a_budget_nobody_draws_more_than_there_is(place):
    async def drawing():
        store = open_store(place)
        drawn = [await store.draw("r", 40, 100) for _ in range(4)]
        back = await store.draw("r", -30, 100)
        more = [await store.draw("r", 40, 100), await store.draw("other", 40, 100), await store.draw("r", 40, 120)]
        await store.aclose()
        return drawn, back, more

    assert asyncio.run(drawing()) == ([40, 40, 20, 0], -30, [30, 40, 20])
