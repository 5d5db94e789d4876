"""What vendors say beside a good answer, where it is odd: tokens, stop reasons, names."""

from __future__ import annotations

import json
from typing import Any

import apache_beam as beam
import pyarrow.parquet
import pytest
from helpers.calls import GOOD, LABEL, ask, make_caller, question
from helpers.replies import KEY, SPECS, body, model, reply

from beam_llmdag.beam.io.results import WriteResults
from beam_llmdag.beam.llm_dag import LLMDag
from beam_llmdag.dag import Dag
from beam_llmdag.outputs.output import Output
from beam_llmdag.providers.prices import Price
from beam_llmdag.testing import Reply, Simulator
from beam_llmdag.usage import Usage

TEXT = Output(str)
CHAT_AND_RESPONSES = {
    "openai-chat": ("prompt_tokens", "completion_tokens"),
    "openai-responses": ("input_tokens", "output_tokens"),
}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, KEY)


@pytest.fixture(params=SPECS)
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def asked(simulator: Simulator, api: str, price: Price | None = None, output: Output = LABEL, **options: Any) -> Any:
    """The reply to one question."""
    caller = make_caller({}, prices={SPECS[api]: price or Price(input=1, output=4)})
    [found] = ask(caller, question("It arrived late.", model=model(simulator, api, **options), output=output))
    return found


def usage_and_cost(found: Any) -> list[tuple[Usage | None, int | None]]:
    return [(attempt.usage, attempt.cost_nano_usd) for attempt in found.attempts]


def without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}


WITHOUT_AN_ANSWER = {
    "openai-chat": {**without(body("openai-chat", input=90, output=0), "choices"), "choices": []},
    "openai-responses": without(body("openai-responses", input=90, output=0), "output"),
    "anthropic": without(body("anthropic", input=90, output=0), "content"),
    "google": without(body("google", input=90, output=0), "candidates"),
}


def test_tokens_of_a_reply_without_an_answer_are_on_the_bill(simulator, api):
    """cost-51-usage-of-a-reply-without-an-answer, b"""
    simulator.script([Reply(json=WITHOUT_AN_ANSWER[api]), reply(api, input=90, output=6)])
    found = asked(simulator, api, attempts=2)
    assert (found.data, len(simulator.requests)) == (GOOD, 2)
    assert usage_and_cost(found) == [
        (Usage(input_tokens=90), 90_000),
        (Usage(input_tokens=90, output_tokens=6), 114_000),
    ]


def test_thoughts_without_an_answer_are_on_the_bill(simulator):
    """cost-51-usage-of-a-reply-without-an-answer, a"""
    thought = {"promptTokenCount": 48, "thoughtsTokenCount": 512, "totalTokenCount": 560}
    simulator.script(
        [
            Reply(json={"usageMetadata": thought, "modelVersion": "gemini-2.5-flash"}),
            reply("google", input=48, output=6),
        ]
    )
    found = asked(simulator, "google", attempts=2)
    assert [attempt.cost_nano_usd for attempt in found.attempts] == [2_096_000, 72_000]


def test_tokens_of_an_error_in_a_good_status_are_on_the_bill(simulator, api):
    """cost-51-usage-of-a-reply-without-an-answer: beside an error object"""
    simulator.script([Reply(json={**body(api), "error": {"message": "broken", "code": 502}}), reply(api)])
    found = asked(simulator, api, attempts=2)
    assert usage_and_cost(found)[0] == (Usage(input_tokens=40, output_tokens=6), 64_000)


GATEWAYS = {
    "cached tokens beside the input": ((180, 50, 4230, 4000, 0), (4180, 50, 4000, 0), 245_000),
    "a total that no reading has": ((180, 50, 230, 4000, 0), None, None),
    "reasoning beside the output": ((1500, 40, 2340, 0, 800), (1500, 840, 0, 800), 2_055_000),
    "reasoning in the output": ((1500, 40, 1540, 0, 30), (1500, 40, 0, 30), 455_000),
    "reasoning beside a longer output": ((1500, 900, 3200, 0, 800), (1500, 1700, 0, 800), 3_775_000),
    "both beside": ((180, 40, 5020, 4000, 800), (4180, 840, 4000, 800), 45_000 + 100_000 + 1_680_000),
    "no total, parts inside": ((1500, 40, None, 100, 30), (1500, 40, 100, 30), 350_000 + 2_500 + 80_000),
    "no total, a part beyond its whole": ((180, 50, None, 4000, 0), None, None),
    "a total that is none": ((180, 50, "230", 0, 0), None, None),
}


@pytest.mark.parametrize("case", GATEWAYS)
@pytest.mark.parametrize("api", CHAT_AND_RESPONSES)
def test_the_total_tells_whether_parts_are_counted_inside_or_beside(simulator, api, case):
    """cost-52-two-conventions-in-one-shape"""
    (read, written, total, cached, thought), expected, cost = GATEWAYS[case]
    reads, writes = CHAT_AND_RESPONSES[api]
    usage = {
        reads: read,
        writes: written,
        "total_tokens": total,
        f"{reads}_details": {"cached_tokens": cached},
        f"{writes}_details": {"reasoning_tokens": thought},
    }
    simulator.script([reply(api, usage=usage)])
    found = asked(simulator, api, Price(input=0.25, cache_read=0.025, output=2.0))
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")
    known = None if expected is None else Usage(**dict(zip(names, expected, strict=True)))
    assert (found.data, usage_and_cost(found)) == (GOOD, [(known, cost)])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((100, 20, 80, 200, 0), Usage(input_tokens=100, output_tokens=100, reasoning_tokens=80)),
        ((100, 90, 80, 190, 0), Usage(input_tokens=100, output_tokens=90, reasoning_tokens=80)),
        ((100, 20, 0, 420, 300), Usage(input_tokens=400, output_tokens=20, cache_read_tokens=300)),
        ((100, 20, 0, 120, 300), None),
        ((100, 20, 80, None, 0), Usage(input_tokens=100, output_tokens=100, reasoning_tokens=80)),
    ],
)
def test_the_total_decides_at_google_too(simulator, counts, expected):
    """cost-52-two-conventions-in-one-shape: in Gemini's shape"""
    names = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount")
    usage = dict(zip((*names, "cachedContentTokenCount"), counts, strict=True))
    simulator.script([reply("google", usage=usage)])
    assert asked(simulator, "google").attempts[0].usage == expected


INCOMPLETE: list[Any] = [
    {"total": 910},
    {"input": "120", "output": "8"},
    {},
    {"input": 120},
    {"output": 8},
    None,
    "n/a",
]
INCOMPLETE += [{"input": None, "output": None, "total": 0}, [12], 7, True, [[]]]


@pytest.mark.parametrize("usage", INCOMPLETE, ids=repr)
def test_usage_without_its_numbers_is_unknown_and_not_zero(simulator, api, usage):
    """cost-53-usage-without-the-two-numbers; errors-60-good-answers-with-odd-side-fields, f"""
    if isinstance(usage, dict):
        usage = {_NAMES[api][name]: value for name, value in usage.items()}
    simulator.script([reply(api, usage=usage)])
    found = asked(simulator, api, attempts=4)
    assert (found.data, usage_and_cost(found), len(simulator.requests)) == (GOOD, [(None, None)], 1)


_NAMES = {
    "anthropic": {"input": "input_tokens", "output": "output_tokens", "total": "total_tokens"},
    "openai-chat": {"input": "prompt_tokens", "output": "completion_tokens", "total": "total_tokens"},
    "openai-responses": {"input": "input_tokens", "output": "output_tokens", "total": "total_tokens"},
    "google": {"input": "promptTokenCount", "output": "candidatesTokenCount", "total": "totalTokenCount"},
}


@pytest.mark.parametrize(
    ("sums", "expected"),
    [({}, 3500), ({"cache_creation_input_tokens": 3500}, 3500), ({"cache_creation_input_tokens": 3000}, 3500)],
)
def test_cache_writes_are_the_sum_of_their_parts(simulator, sums, expected):
    """cost-54-cache-writes-only-in-the-nested-object"""
    parts = {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2500}
    usage = {"input_tokens": 60, "cache_read_input_tokens": 400, "output_tokens": 100, "cache_creation": parts, **sums}
    simulator.script([reply("anthropic", usage=usage)])
    price = Price(input=1, output=5, cache_read=0.1, cache_write=1.25, cache_write_1h=2)
    known = Usage(
        input_tokens=460 + expected,
        output_tokens=100,
        cache_read_tokens=400,
        cache_write_tokens=expected,
        cache_write_1h_tokens=2500,
    )
    assert usage_and_cost(asked(simulator, "anthropic", price)) == [(known, 6_850_000)]


NO_COUNTS = ["-250000", str(2**64), str(2**53), "1e25", "9" * 4_000, "9" * 5_000, '"1.5"', "1.5", "true", "NaN"]
NO_COUNTS += ["1e999", "-Infinity", "[12]", '{"n": 12}', '"12"']


@pytest.mark.parametrize("place", ["input", "output"])
@pytest.mark.parametrize("number", NO_COUNTS, ids=lambda number: str(number)[:12])
def test_a_count_that_is_none_costs_no_answer_and_no_money(simulator, api, number, place):
    """cost-55-negative-and-absurd-counts; errors-60-good-answers-with-odd-side-fields, a to d"""
    odd = json.dumps(body(api, **{place: "odd"})).replace('"odd"', number)
    simulator.script([Reply(body=odd)])
    found = asked(simulator, api, attempts=4)
    assert (found.data, usage_and_cost(found), len(simulator.requests)) == (GOOD, [(None, None)], 1)


@pytest.mark.parametrize("number", [-250_000, 2**64, 2**52], ids=str)
@pytest.mark.parametrize("store", [True, False], ids=["store", "no store"])
def test_one_odd_count_stops_no_run(simulator, api, number, store, tmp_path):
    """cost-55-negative-and-absurd-counts: with a store, and without"""
    simulator.script([reply(api, input=number), reply(api)])
    dag = Dag(
        "case",
        model=model(simulator, api, attempts=1, max_in_flight=1),
        prices={SPECS[api]: Price(input=0.25, output=2)},
    )
    dag.dimension(lambda item: item.content, name="analyze")
    source = [{"id": "1", "content": "x"}, {"id": "2", "content": "y"}]
    kept = tmp_path / "answers.sqlite" if store else False
    report = dag.run(source, store=kept, progress=False)
    assert [row.results["analyze"].status for row in report.items] == ["ok", "ok"]
    usages = [cost.attempt.usage for cost in report.costs]
    odd = Usage(input_tokens=number, output_tokens=6) if 0 <= number < 2**53 else None
    assert {odd, Usage(input_tokens=40, output_tokens=6)} == set(usages)
    assert report.summary.cost_is_complete == (odd is not None)


def test_a_budget_does_not_grow_by_what_an_answer_says(simulator):
    """cost-55-negative-and-absurd-counts, third run"""
    simulator.script([reply("openai-chat", input=-250_000)])
    dag = Dag(
        "case",
        model=model(simulator, "openai-chat", attempts=1, max_in_flight=2),
        prices={SPECS["openai-chat"]: Price(input=0.25, output=2)},
    )
    dag.dimension(lambda item: item.content, name="analyze")
    source = [{"id": str(n), "content": f"x {n}"} for n in range(50)]
    report = dag.run(source, store=False, budget_usd=0.000001, progress=False)
    assert len(simulator.requests) <= 4
    assert {failure.error_class for failure in report.failures} == {"over_budget"}
    assert report.summary.total.cost_nano_usd == 0


ODD_NAMES = [7001, {"n": 1}, [1], True, 7.5, "a\nb\x00", "x" * 5_000, "\ud83d", None]


@pytest.mark.parametrize("place", ["id", "model"])
@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: repr(name)[:10])
def test_a_name_that_is_no_text_costs_no_answer(simulator, api, name, place):
    """beam-51-request-id-that-is-no-text"""
    simulator.script([reply(api, **{place: name})])
    found = asked(simulator, api, attempts=4)
    assert (found.data, len(simulator.requests)) == (GOOD, 1)
    request_id = found.attempts[0].request_id
    assert request_id is None or (isinstance(request_id, str) and request_id.isprintable() and len(request_id) <= 200)
    if place == "id" and name == 7001:
        assert request_id == "7001"


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_files_are_written_whatever_a_server_counts_and_calls(simulator, api, suffix, tmp_path):
    """beam-51-request-id-that-is-no-text; cost-55-negative-and-absurd-counts, in a pipeline"""
    simulator.script([reply(api, id=7001, input=2**64), reply(api, id={"n": 1}), reply(api, id="\ud83d")])
    dag = Dag(
        "case", model=model(simulator, api, attempts=1, max_in_flight=1), prices={SPECS[api]: Price(input=1, output=2)}
    )
    dag.dimension(lambda item: item.content, name="analyze")
    source = [{"id": str(n), "content": f"x {n}"} for n in range(3)]
    with beam.Pipeline("DirectRunner") as pipeline:
        results = pipeline | beam.Create(source) | LLMDag(dag, store=False)
        results | WriteResults(dag, str(tmp_path / "out"), file_format=suffix)
    [costs] = tmp_path.rglob(f"costs*.{suffix}")
    lines = pyarrow.parquet.read_table(costs).num_rows if suffix == "parquet" else len(costs.read_text().splitlines())
    assert lines == 3


@pytest.mark.parametrize("reason", [["stop"], {"why": "stop"}, 7, True, "UNEXPECTED_NEW_REASON", "tool_calls"])
def test_a_whole_object_needs_no_stop_reason(simulator, api, reason):
    """errors-53-finish-reasons-nobody-knows, c; errors-60-good-answers-with-odd-side-fields, e"""
    simulator.script([reply(api, stop=reason)])
    found = asked(simulator, api, attempts=4)
    assert (found.data, len(simulator.requests)) == (GOOD, 1)


@pytest.mark.parametrize("text", ['{"label": "a"', '{"label": "a"} is a draft, and', "a"])
def test_what_is_not_whole_needs_a_stop_reason(simulator, api, text):
    """errors-53-finish-reasons-nobody-knows: JSON that may be cut"""
    simulator.script([reply(api, stop="OTHER", text=text)])
    error = asked(simulator, api, attempts=1).error
    assert (error.error_class, "OTHER" in error.message) == ("invalid_answer", True)


def test_an_unknown_reason_without_a_word_is_named_and_not_asked_again(simulator):
    """errors-53-finish-reasons-nobody-knows, a"""
    usage = {"promptTokenCount": 44}
    simulator.script([Reply(json={"candidates": [{"finishReason": "IMAGE_OTHER"}], "usageMetadata": usage})])
    found = asked(simulator, "google", attempts=4)
    assert (found.error.error_class, "IMAGE_OTHER" in found.error.message) == ("refused", True)
    assert [attempt.usage for attempt in found.attempts] == [Usage(input_tokens=44)]


def test_half_a_text_of_unknown_end_is_asked_for_again_in_the_next_run(simulator, api, tmp_path):
    """errors-53-finish-reasons-nobody-knows, b"""
    dag = Dag("case", model=model(simulator, api, attempts=1))
    dag.dimension(lambda item: item.content, name="analyze")
    source = [{"id": "1", "content": "x"}]
    simulator.script([reply(api, stop="OTHER", text="The first half of")])
    first = dag.run(source, store=tmp_path / "answers.sqlite", progress=False)
    assert "OTHER" in first.failures[0].message
    simulator.reset()
    simulator.script([reply(api, text="The first half of it.")])
    second = dag.run(source, store=tmp_path / "answers.sqlite", progress=False)
    assert second.items[0].results["analyze"].data == "The first half of it."
    assert len(simulator.requests) == 1


def cut_while_thinking(api: str) -> dict[str, Any]:
    """A reply of which all 512 tokens went into thinking."""
    data = body(api, input=60, output=512)
    if api == "anthropic":
        return {**data, "content": [{"type": "thinking", "thinking": "Hmm"}], "stop_reason": "max_tokens"}
    if api == "openai-responses":
        cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        return {**data, **cut, "output": [{"type": "reasoning", "id": "rs1", "summary": []}]}
    if api == "google":
        candidate = {"content": {"parts": [{"text": "Hmm", "thought": True}]}, "finishReason": "MAX_TOKENS"}
        usage = {"promptTokenCount": 60, "thoughtsTokenCount": 512, "totalTokenCount": 572}
        return {**data, "candidates": [candidate], "usageMetadata": usage}
    message = {"role": "assistant", "content": "", "reasoning_content": "Hmm"}
    return {**data, "choices": [{"message": message, "finish_reason": "length"}]}


@pytest.mark.parametrize("output", [LABEL, TEXT], ids=["object", "text"])
def test_an_answer_cut_while_thinking_is_not_asked_for_again(simulator, api, output):
    """errors-58-cut-while-thinking, a and b"""
    simulator.script([Reply(json=cut_while_thinking(api))])
    found = asked(simulator, api, output=output, attempts=3)
    assert found.error.error_class == "truncated"
    assert all(word in found.error.message for word in ("thinking", "512", "max_tokens"))
    assert [attempt.cost_nano_usd for attempt in found.attempts] == [2_108_000]


@pytest.mark.parametrize("text", ["<think>Hmm, so", "<think>Hmm, so {", "  "])
def test_thinking_written_into_the_answer_is_told_the_same_way(simulator, api, text):
    """errors-58-cut-while-thinking: between tags"""
    stop = {"openai-chat": "length", "google": "MAX_TOKENS", "openai-responses": "max_tokens"}.get(api, "max_tokens")
    simulator.script([reply(api, text=text, stop=stop)])
    found = asked(simulator, api, attempts=3)
    assert (found.error.error_class, "thinking" in found.error.message) == ("truncated", True)
    assert len(simulator.requests) == 1


def test_an_ordinary_cut_is_asked_for_again(simulator, api):
    """errors-58-cut-while-thinking, c"""
    simulator.script([Reply('{"label": "', stop="length", thinking="Hmm")])
    assert asked(simulator, api, attempts=3).error.error_class == "truncated"
    assert len(simulator.requests) == 3


TOLD_OTHERWISE = {
    "whole floats": ("openai-chat", {"prompt_tokens": 40.0, "completion_tokens": 6.0, "total_tokens": 46.0}),
    "whole floats of Anthropic": ("anthropic", {"input_tokens": 40.0, "output_tokens": 6}),
    "the answer in the total only": ("google", {"promptTokenCount": 40, "totalTokenCount": 46}),
}


@pytest.mark.parametrize(("api", "usage"), TOLD_OTHERWISE.values(), ids=TOLD_OTHERWISE)
def test_counts_that_are_told_otherwise_are_counts(simulator, api, usage):
    """cost-53-usage-without-the-two-numbers: whole numbers as floats, and a number that only the total tells"""
    simulator.script([reply(api, usage=usage)])
    assert usage_and_cost(asked(simulator, api)) == [(Usage(input_tokens=40, output_tokens=6), 64_000)]


NOT_COUNTED = {
    "zeros": ("openai-chat", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
    "zeros of Responses": ("openai-responses", {"input_tokens": 0, "output_tokens": 0}),
    "zeros of Anthropic": ("anthropic", {"input_tokens": 0, "output_tokens": 0}),
    "a part of a token": ("openai-chat", {"prompt_tokens": 40.5, "completion_tokens": 6}),
    "nothing left for the answer": ("google", {"promptTokenCount": 40, "totalTokenCount": 40}),
    "more than the total": ("google", {"promptTokenCount": 40, "thoughtsTokenCount": 9, "totalTokenCount": 46}),
}


@pytest.mark.parametrize(("api", "usage"), NOT_COUNTED.values(), ids=NOT_COUNTED)
def test_an_answer_of_no_tokens_is_an_answer_that_nobody_counted(simulator, api, usage):
    """cost-53-usage-without-the-two-numbers: a zero that nobody means"""
    simulator.script([reply(api, usage=usage)])
    found = asked(simulator, api)
    assert (found.data, usage_and_cost(found)) == (GOOD, [(None, None)])
