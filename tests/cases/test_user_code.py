"""Cases of the kind user-code: functions that do what no function should, and what becomes of the other items."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from conftest import Runner
from helpers.dags import answered, evaluated, make_dag, not_ok, row, walked
from pydantic import BaseModel, field_validator

from beam_llmdag import CallError, Dag, Item, LLMDagError, Missing
from beam_llmdag.model import Request
from beam_llmdag.outputs.output import Output
from beam_llmdag.records.result import Result
from beam_llmdag.run.missing import allows_null
from beam_llmdag.testing import ScriptedProvider
from pipelines.ending import run_as_program

ITEMS = [Item(name, name) for name in ("k1", "k2", "k3")]


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


class Odd(BaseException):
    pass


class LongError(Exception):
    def __str__(self) -> str:
        return "x" * 10_000_000


class NoPrompt:
    def __repr__(self) -> str:
        raise ValueError("no words")


ODD: dict[str, Callable[[], BaseException]] = {
    "UnreadableError": UnreadableError,
    "Odd": lambda: Odd("odd"),
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "LongError": LongError,
    "ExceptionGroup": lambda: ExceptionGroup("many", [ValueError(str(number)) for number in range(1000)]),
    "SystemExit": lambda: SystemExit(3),
}


def prompt_that_raises(name: str) -> Callable[[Item], str]:
    return lambda item: f"{odd_for_k2(name)(item)}"


def odd_for_k2(name: str) -> Callable[[Item], bool]:
    """A function that raises for item k2."""

    def check(item: Item) -> bool:
        if item.id == "k2":
            raise ODD[name]()
        return False

    return check


def options_with(place: str, name: str) -> dict[str, Any]:
    """A dimension `analyze` with one function that is odd."""
    check = odd_for_k2(name)
    options: dict[str, Any] = {"prompt": lambda item: item.content}
    if place == "prompt":
        options["prompt"] = lambda item: str(check(item)) + item.content
    elif place == "skip_if":
        options["skip_if"] = lambda item: check(item)
    elif place == "model":
        options["model"] = lambda item: "scripted:x" if not check(item) else None
    else:
        options["on_failure"] = lambda item, error: str(check(item))
    return options


def is_short_and_names(message: str | None, *words: str) -> bool:
    return message is not None and len(message) < 2000 and all(word in message for word in words)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("place", ["prompt", "skip_if", "model", "on_failure"])
def test_an_odd_exception_costs_one_item(place: str, name: str) -> None:
    """Case user-code-51."""
    options = options_with(place, name)
    answers = (lambda request: "") if place == "on_failure" else ["yes"]
    dag, provider = make_dag(answers)
    dag.dimension(options.pop("prompt"), name="analyze", attempts=1, **options)
    results = {key: of["analyze"] for key, of in walked(dag, *ITEMS).items()}
    expected = "fallback" if place == "on_failure" else "ok"
    assert [result.status for result in results.values()] == [expected, "failed", expected]
    assert is_short_and_names(results["k2"].message, "analyze", name)
    assert len(provider.requests) == (3 if place == "on_failure" else 2)
    if place != "on_failure":
        assert results["k2"].error_class == "user_function"
        assert 'File "test_user_code.py"' in (results["k2"].traceback or "")


def test_what_is_no_prompt_and_cannot_be_shown_costs_one_item() -> None:
    """Case user-code-51."""
    dag, _ = make_dag(["yes"])
    dag.dimension(lambda item: NoPrompt() if item.id == "k2" else "Q", name="analyze")
    results = {key: of["analyze"] for key, of in walked(dag, *ITEMS).items()}
    assert [result.status for result in results.values()] == ["ok", "failed", "ok"]
    assert is_short_and_names(results["k2"].message, "analyze", "NoPrompt")


@pytest.mark.parametrize("name", ODD)
def test_a_merge_function_that_raises_oddly_fails_its_global(name: str) -> None:
    """Case user-code-51."""
    dag, _ = make_dag(["yes"])

    @dag.dimension(scope="global", max_prompt_tokens=20)
    def analyze(items: list[Item]) -> str:
        return " ".join("x" * 30 for _ in items)

    def merge(parts: Any) -> Any:
        raise ODD[name]()

    analyze.merge(merge)
    result = evaluated(dag, "analyze", [row("k1"), row("k2"), row("k3")])
    assert (result.status, result.error_class) == ("failed", "user_function")
    assert is_short_and_names(result.message, "analyze", name)


@pytest.mark.parametrize("name", [*ODD, "KeyboardInterrupt"])
def test_a_validator_that_raises_oddly_costs_one_call(name: str) -> None:
    """Cases user-code-51 and user-code-52."""

    class Label(BaseModel):
        label: str

        @field_validator("label")
        @classmethod
        def check(cls, label: str) -> str:
            if label == "k2":
                raise ODD[name]() if name in ODD else KeyboardInterrupt
            return label

    provider = ScriptedProvider(lambda request: {"label": request.messages[-1].content})
    dag, _ = make_dag(provider)
    dag.dimension(lambda item: item.content, name="analyze", output=Label, attempts=3)
    results = {key: of["analyze"] for key, of in walked(dag, *ITEMS).items()}
    assert [result.status for result in results.values()] == ["ok", "failed", "ok"]
    assert results["k2"].error_class == "user_function"
    assert is_short_and_names(results["k2"].message, "analyze", name)
    assert "check" in (results["k2"].traceback or "")
    assert len(provider.requests) == 3


def test_odd_exceptions_are_the_same_in_every_plan(run: Runner) -> None:
    """Cases user-code-51 and user-code-52; the tracebacks, too."""
    odd = {name: prompt_that_raises(name) for name in ("UnreadableError", "Odd")}
    dag = Dag("test", model="scripted:x", providers={"scripted": ScriptedProvider(["yes"])})
    for name, prompt in odd.items():
        dag.dimension(prompt, name=name.lower())
    made = run.everywhere(dag, [{"id": item.id, "content": item.content} for item in ITEMS])
    assert [failure.item_id for failure in made.failures] == ["k2", "k2"]
    assert all('File "test_user_code.py"' in (failure.traceback or "") for failure in made.failures)
    report = dag.run(ITEMS, store=False, progress=False)
    assert [row.results for row in report.items] == [row.results for row in made.items]
    assert [failure.traceback for failure in report.failures] == [failure.traceback for failure in made.failures][::-1]


def healthy() -> Dag:
    dag, _ = make_dag(["fine"])
    dag.dimension(lambda item: item.content, name="healthy")
    return dag


def first_result(dag: Dag) -> Result:
    [row] = dag.run(["x"], store=False, progress=False).items
    return row.results["analyze"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", ["prompt", "skip_if"])
def test_a_run_inside_a_function_says_so_and_harms_no_later_run(place: str) -> None:
    """Case user-code-52."""
    inner = healthy()

    def run_inside(item: Item) -> str:
        return str(inner.run(["x"], store=False, progress=False).items)

    dag, _ = make_dag(["yes"])
    if place == "prompt":
        dag.dimension(run_inside, name="analyze")
    else:
        dag.dimension(lambda item: item.content, name="analyze", skip_if=lambda item: bool(run_inside(item)))
    result = first_result(dag)
    assert (result.status, result.error_class) == ("failed", "user_function")
    assert is_short_and_names(result.message, "analyze", "dag.run", "inside")
    assert healthy().run(["x"], store=False, progress=False).items[0].results["healthy"].data == "fine"


@pytest.mark.timeout(60)
def test_a_run_on_a_thread_that_a_prompt_function_waits_for_works() -> None:
    """Case user-code-52."""
    found: list[Any] = []

    def prompt(item: Item) -> str:
        thread = threading.Thread(target=lambda: found.extend(healthy().run(["x"], store=False, progress=False).items))
        thread.start()
        thread.join()
        return str(found[0].results["healthy"].data)

    dag, provider = make_dag(["yes"])
    dag.dimension(prompt, name="analyze")
    assert first_result(dag).data == "yes"
    assert provider.requests[0].messages[0].content == "fine"


@pytest.mark.timeout(60)
def test_a_keyboard_interrupt_that_nobody_pressed_costs_one_item() -> None:
    """Case user-code-52."""

    def prompt(item: Item) -> str:
        if item.id == "k2":
            raise KeyboardInterrupt
        return item.content

    dag, _ = make_dag(["yes"])
    dag.dimension(prompt, name="analyze")
    report = dag.run(ITEMS, store=False, progress=False)
    assert [row.results["analyze"].status for row in report.items] == ["ok", "failed", "ok"]
    assert is_short_and_names(report.failures[0].message, "analyze", "KeyboardInterrupt")


@pytest.mark.timeout(60)
def test_a_run_whose_thread_is_lost_says_so_and_the_next_gets_a_new_one() -> None:
    """Case user-code-52: whatever ends the loop, nobody waits for it for ever."""

    def prompt(item: Item) -> str:
        asyncio.get_running_loop().stop()
        return item.content

    dag, _ = make_dag(ScriptedProvider(["yes"], latency_seconds=30))
    dag.dimension(prompt, name="analyze")
    with pytest.raises(LLMDagError, match="the next run gets a new thread"):
        dag.run(ITEMS, store=False, progress=False)
    assert healthy().run(["x"], store=False, progress=False).items[0].results["healthy"].data == "fine"


INTERRUPTED = """
from beam_llmdag import Dag
from beam_llmdag.testing import ScriptedProvider
from pipelines.ending import run_as_program

dag = Dag("test", model="scripted:x", providers={"scripted": ScriptedProvider(["yes"], latency_seconds=60)})


@dag.dimension
def analyze(item):
    print("asks", flush=True)
    return item.content


dag.run(["x"], store=False)
"""


@pytest.mark.timeout(120)
def test_ctrl_c_ends_a_run_without_the_runners_hundred_lines(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "asks\n"
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert complaint.endswith("\nKeyboardInterrupt\n")
    assert process.returncode != 0
    assert "apache_beam" not in complaint
    assert len(complaint.splitlines()) < 20


def test_ctrl_c_in_a_step_ends_a_pipeline_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            logging.getLogger("apache_beam.runners.common").exception("KeyboardInterrupt [while running 'x']")
            raise RuntimeError("KeyboardInterrupt [while running 'x']") from interrupt

    with pytest.raises(SystemExit) as ended:
        run_as_program(run)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C\n"


def writes_into_all(*, output: Any, names_of: Callable[[Any], list[str]]) -> Dag:
    """A dag whose second step writes into all that its functions are given, and whose third one tells what it sees."""

    def answers(request: Request) -> Any:
        asked = request.messages[-1].content
        return {"names": ["a"]} if asked == "topics" else str(asked)

    dag, _ = make_dag(ScriptedProvider(answers))

    def first(item: Item) -> str:
        item.metadata["seen"] = True  # type: ignore[index]
        item.metadata["tags"].append("x")
        item.content["lines"].append("x")
        return "first"

    def second(item: Item, topics: Any) -> str:
        names_of(topics).append("extra")
        return f"{first(item)} {names_of(topics)}"

    def together(items: list[Item], topics: list[Any]) -> str:
        for item, about in zip(items, topics, strict=True):
            second(item, about)
        return "together"

    def third(item: Item, topics: Any, second: Any, together: Any) -> str:
        return f"{item.content} {item.metadata} {names_of(topics)}"

    dag.dimension(lambda item: "topics", name="topics", output=output)
    dag.dimension(first, name="first")
    dag.dimension(second, name="second")
    dag.dimension(together, name="together", scope="global")
    dag.dimension(third, name="third")
    dag.compute(lambda item, topics: f"{item.metadata} {names_of(topics)}", name="fourth", after=["third"])
    return dag


class Names(BaseModel):
    names: list[str]


@pytest.mark.parametrize(
    ("output", "names_of"),
    [(Names, lambda topics: topics.names), (Names.model_json_schema(), lambda topics: topics["names"])],
    ids=["class", "schema"],
)
def test_what_a_function_writes_into_its_arguments_stays_there(
    run: Runner, output: Any, names_of: Callable[[Any], list[str]]
) -> None:
    """Case user-code-53."""
    dag = writes_into_all(output=output, names_of=names_of)
    record = {"id": "k1", "content": {"lines": ["l"]}, "metadata": {"tags": ["a"]}}
    made = run.everywhere(dag, [record])
    [row] = made.items
    assert (row.item.content, row.item.metadata) == ({"lines": ["l"]}, {"tags": ["a"]})
    assert row.results["topics"].data == {"names": ["a"]}
    assert row.results["second"].data == "first ['a', 'extra']"
    assert row.results["third"].data == "{'lines': ['l']} {'tags': ['a']} ['a']"
    assert row.results["fourth"].data == "{'tags': ['a']} ['a']"
    assert dag.run([record], store=False, progress=False).items == made.items


@pytest.mark.parametrize("output", [int | None, {"type": ["integer", "null"]}], ids=["type", "schema"])
def test_no_answer_is_not_null_where_null_is_an_answer(output: Any) -> None:
    """Case user-code-54."""
    said = {"k1": "null", "k2": "1912", "k3": "no year"}
    dag, _ = make_dag(answered(lambda prompt: said.get(prompt, prompt)))
    seen: list[Any] = []
    dag.dimension(lambda item: item.id, name="year", output=output, attempts=1)
    dag.dimension(lambda item, year: seen.append(year) or f"{year!r}", name="note", on_missing="run")
    results = walked(dag, *ITEMS)
    assert [(of["year"].status, of["year"].data) for of in results.values()] == [
        ("ok", None),
        ("ok", 1912),
        ("failed", None),
    ]
    null, year, nobody = sorted(seen, key=lambda value: (isinstance(value, Missing), value or 0))
    assert (null, year) == (None, 1912)
    assert isinstance(nobody, Missing)
    assert not nobody
    assert nobody == Missing("year", "'year', which failed (invalid_answer)")
    assert "invalid_answer" in str(nobody)


def test_a_global_tells_null_from_no_answer() -> None:
    """Case user-code-54."""
    dag, _ = make_dag(["fine"])
    seen: list[Any] = []
    dag.dimension(lambda item: "Q", name="year", output=int | None)
    dag.dimension(lambda items, year: seen.extend(year) or "Q", name="note", scope="global", on_missing="run")
    evaluated(dag, "note", [row("k1", year=None), row("k2", year=1912), row("k3", year=not_ok("year", "k3"))])
    assert seen[:2] == [None, 1912]
    assert isinstance(seen[2], Missing)


def test_no_answer_is_none_where_null_is_no_answer() -> None:
    """As it always was: `if mood is None` says all there is to say."""
    dag, _ = make_dag([CallError("refused", "no"), "fine"])
    seen: list[Any] = []
    dag.dimension(lambda item: "Q", name="mood")
    dag.dimension(lambda item, mood: seen.append(mood) or "Q", name="note", on_missing="run")
    walked(dag, ITEMS[0])
    assert seen == [None]


class Tree(BaseModel):
    inner: Tree | None = None


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (int | None, True),
        (Any, True),
        (Literal["a", None], True),
        (Tree | None, True),
        ({"type": "integer", "nullable": True}, False),
        ({"enum": ["a", None]}, True),
        ({"type": "object", "anyOf": [{"type": "null"}]}, False),
        (int, False),
        (str, False),
        (Literal["a"], False),
        (Tree, False),
        (list[int | None], False),
    ],
)
def test_an_output_knows_whether_null_is_an_answer(output: Any, expected: bool) -> None:
    """Case user-code-54."""
    assert allows_null(None if output is str else Output(output).data_schema) is expected


class Spam(BaseModel):
    spam: bool

    def is_spam(self) -> bool:
        return self.spam


async def later() -> bool:
    return False


@pytest.mark.parametrize(
    ("skip_if", "kind"),
    [
        (lambda analyze: analyze.is_spam, "bound method"),
        (lambda analyze: (True for _ in ()), "generator"),
        (lambda analyze: later(), "coroutine"),
        (lambda analyze: Spam, "Spam"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_what_is_always_true_skips_nothing(skip_if: Callable[..., Any], kind: str) -> None:
    """Kind of user-code-51: a method that nobody called would skip every item, and nobody would know."""
    dag, _ = make_dag(answered(lambda _prompt: {"spam": False}))
    dag.dimension(lambda item: "Q", name="analyze", output=Spam)
    dag.dimension(lambda item: "R", name="reply", skip_if=skip_if)
    reply = walked(dag, ITEMS[0])["k1"]["reply"]
    assert (reply.status, reply.error_class) == ("failed", "user_function")
    assert "skip_if returned" in str(reply.message)
    assert kind in str(reply.message)


def in_groups(per: Callable[[Item], Any]) -> list[Result]:
    """The results of a global over groups that `per` names."""
    dag, _ = make_dag(["x"])
    dag.dimension(lambda items: f"{len(items)}", name="digest", scope="global", per=per)
    return dag.run(ITEMS, store=False, progress=False).globals


@pytest.mark.parametrize(
    ("named", "group"),
    [
        ({"b", "a", "c"}, '["a", "b", "c"]'),
        (("a", 1), '["a", 1]'),
        (Spam(spam=True), '{"spam": true}'),
        ("half \ud83d", "half �"),
        (1, "1"),
        (True, "True"),
    ],
)
def test_a_group_has_the_same_name_in_every_run(named: Any, group: str) -> None:
    """Kind of user-code-51: a set has another order in every process, and half an emoji fits no file."""
    assert [result.item_id for result in in_groups(lambda item: named)] == [group]


def test_a_gap_names_no_group() -> None:
    """Kind of inputs-06: what is missing in a frame is NaN."""
    assert [(result.item_id, result.status) for result in in_groups(lambda item: float("nan"))] == [("", "skipped")]


@pytest.mark.parametrize("named", [object(), str.upper, (letter for letter in "a")])
def test_what_is_no_data_names_no_group(named: Any) -> None:
    """Kind of user-code-51: its text has an address, which is another one for every item and run."""
    (result,) = in_groups(lambda item: named)
    assert (result.item_id, result.error_class) == ("", "user_function")
    assert "what per returned: a value of type" in str(result.message)


def test_a_message_holds_no_address() -> None:
    """Kind of locale-01: failures are the same bytes in every run."""
    dag, _ = make_dag(["x"])
    dag.dimension(lambda item: object(), name="analyze")
    assert "<object object at 0x…>" in str(walked(dag, ITEMS[0])["k1"]["analyze"].message)


def regrouped(make: Callable[[list[Item]], Any]) -> list[Item]:
    """The new items that a regroup makes."""
    dag, _ = make_dag(["x"])
    dag.compute(lambda items: len(items), name="count", scope="global")
    regroup = dag.regroup(lambda items, count: make(items), name="groups")
    dag.dimension(lambda item: "Q", name="analyze", over=regroup)
    return [row.item for row in dag.run(ITEMS, store=False, progress=False).regrouped["groups"]]


def test_a_regroup_sorts_the_ids_of_a_set_and_knows_items_by_their_id() -> None:
    """Kind of schema-51: the content of the new item, and so the key of its answer, would follow the hash seed."""
    ids = ("k1", "k2", "k3")
    assert [item.source_ids for item in regrouped(lambda items: {"all": {"k3", "k1", "k2"}})] == [ids]
    assert [item.source_ids for item in regrouped(lambda items: {"all": items})] == [ids]
