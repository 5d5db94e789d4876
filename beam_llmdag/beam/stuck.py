"""What cannot be sent to a worker, by the names that the user gave: dimension, function and variable."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

from beam_llmdag.beam.luggage import packed
from beam_llmdag.errors import GraphError
from beam_llmdag.graph.dimension import Dimension, Function, Step
from beam_llmdag.graph.graph import Graph
from beam_llmdag.telling import told

__all__ = ["check_pickling"]

_LONGEST_REASON = 200
_DEEPEST = 5


def check_pickling(dag: Graph) -> None:
    """Checks that every step, and every provider of the user's, can be sent to a worker.

    Raises:
        GraphError: one cannot; the message names its function and the variable that stands in the way.
    """
    for step in dag.steps.values():
        _check(step, _parts(step))
    for name, provider in dag.providers.items():
        _check(provider, [(f"provider {name!r}", provider)])


def _parts(step: Step) -> list[tuple[str, Any]]:
    """What the user gave a step, and what it is called."""
    functions = [(function.label, function.call) for function in step.functions]
    if not isinstance(step, Dimension):
        return functions
    if step.merge_prompt is not None:
        functions.append((step.merge_prompt.label, step.merge_prompt.call))
    where = f"of {step.title}"
    value = None if isinstance(step.on_failure, Function) else step.on_failure
    return [*functions, (f"output {where}", step.output.declared), (f"on_failure {where}", value)]


def _check(whole: Any, parts: list[tuple[str, Any]]) -> None:
    reason = _reason(whole)
    if reason is None:
        return
    for label, part in parts:
        if _reason(part) is not None:
            path, value = _culprit(part)
            uses = f"it uses {'.'.join(path)!r}, a {type(value).__name__}" if path else f"it is a {type(part).__name__}"
            raise GraphError(
                f"{label} cannot be sent to workers: {uses} ({_reason(value) or reason}). "
                f"Make it inside the function, or in a module that the function imports"
            )
    raise GraphError(f"{parts[0][0]} cannot be sent to workers: {reason}")


def _reason(value: Any) -> str | None:
    """Why `value` cannot be pickled; None if it can."""
    try:
        packed(value)
    except Exception as error:  # noqa: BLE001 - pickling runs code of whatever a function closes over
        return told(error)[:_LONGEST_REASON]
    return None


def _culprit(value: Any) -> tuple[list[str], Any]:
    """The names that lead from `value` to the innermost thing in it that cannot be pickled, and that thing."""
    path: list[str] = []
    while len(path) < _DEEPEST:
        stuck = next(((name, held) for name, held in _held(value) if _reason(held) is not None), None)
        if stuck is None:
            break
        path.append(stuck[0])
        value = stuck[1]
    return path, value


def _held(value: Any) -> Iterator[tuple[str, Any]]:
    """What a function, a partial function, a class or an object holds, by name."""
    if isinstance(value, functools.partial):
        yield from _held(value.func)
        yield from ((f"argument {index + 1}", held) for index, held in enumerate(value.args))
        yield from value.keywords.items()
    elif isinstance(value, MethodType):
        yield from _held(value.__self__)
    elif isinstance(value, FunctionType):
        yield from _variables(value)
    elif not isinstance(value, (str, bytes)) and hasattr(value, "__dict__"):
        yield from ((name, held) for name, held in vars(value).items() if not name.startswith("__"))


def _variables(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not parameter.empty:
            yield name, parameter.default
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _names(code: CodeType) -> Iterator[str]:
    """Names that code, and functions in it, may look up among the globals."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
