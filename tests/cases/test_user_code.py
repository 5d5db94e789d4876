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
from typing import Any

import pytest
from conftest import BeamRunner
from dags import evaluated, make_dag, row, walked
from pydantic import BaseModel, field_validator

from beam_llmdag import Dag, Item, LLMDagError
from beam_llmdag.result import Result
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


def test_odd_exceptions_are_the_same_in_every_plan(run: BeamRunner) -> None:
    """Cases user-code-51 and user-code-52; the tracebacks, too."""
    odd = {name: prompt_that_raises(name) for name in ("UnreadableError", "Odd")}
    dag = Dag("test", model="scripted:x", providers={"scripted": ScriptedProvider(["yes"])})
    for name, prompt in odd.items():
        dag.dimension(prompt, name=name.lower())
    made = run.both(dag, [{"id": item.id, "content": item.content} for item in ITEMS])
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
