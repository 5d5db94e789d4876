"""Calls of the user's functions, which may raise anything: one odd row must not cost the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from traceback import walk_tb
from types import CodeType
from typing import Any, TypeVar

from beam_llmdag.errors import CallError, InputError
from beam_llmdag.graph.dimension import Dimension, Function, Step
from beam_llmdag.outputs.output import Output
from beam_llmdag.records.item import Item
from beam_llmdag.records.plain import plain
from beam_llmdag.records.result import Result
from beam_llmdag.run.missing import Missing, allows_null, missing_reason
from beam_llmdag.telling import shortened, told, traceback_of

__all__ = [
    "Failed",
    "Skipped",
    "Values",
    "call_user",
    "dumped",
    "guarded",
    "own_item",
    "typed",
    "typed_parts",
    "user_error",
]

T = TypeVar("T")


class Skipped(Exception):  # noqa: N818 - no error, a way out
    """A dimension need not run; the text says why."""


class Pending(Exception):  # noqa: N818 - no error, a way out
    """A dimension waits for a batch; the text says which answer it is that waits."""


class Failed(Exception):  # noqa: N818 - a way out with an error, which is `CallError`
    """A dimension has failed before a call; holds the `CallError`."""

    def __init__(self, error: CallError) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the functions of one dimension are called with, about one item or about all.

    Attributes:
        subject: item id, group or `""`, for results and errors.
        arguments: parameter name -> value.
    """

    subject: str
    arguments: Mapping[str, Any]


def call_user(function: Function, values: Values, then: Callable[[Any], Any] | None = None) -> Any:
    """Calls a user's function with the arguments that its parameters name.

    Args:
        then: what is done with the value it returned, if that runs the user's code as well.

    Raises:
        Failed: it raised; the error names the exception and the line.
    """
    arguments = {name: values.arguments.get(name) for name in function.parameters}
    if then is None:
        return guarded(lambda: function.call(**arguments), function.label, function.call)
    return guarded(lambda: then(function.call(**arguments)), function.label, function.call)


def typed(step: Step, result: Result | None) -> Any:
    """The typed answer that a prompt function sees, for that function alone.

    Returns:
        The answer; if there is none, None, or a `Missing` where None is an answer.

    Raises:
        Failed: a validator of the user raised.
    """
    if result is None or not result.has_data:
        may_be_null = isinstance(step, Dimension) and allows_null(step.output.data_schema)
        return Missing(step.name, missing_reason(step.name, result)) if may_be_null else None
    if not isinstance(step, Dimension):
        return _own(result.data)
    return guarded(lambda: _own(step.output.rebuild(result.data)), f"rebuilding the answer of {step.name!r}")


def own_item(item: Item) -> Item:
    """`item` for one function, which may write into it: what others see of the item stays as it was."""
    return Item(item.id, _own(item.content), _own(item.metadata), source_ids=item.source_ids)


def _own(data: Any) -> Any:
    """`data` with dicts and lists of its own; other objects are made anew for every function as it is."""
    kind = type(data)
    if kind is dict:
        return {key: _own(value) for key, value in data.items()}
    return [_own(value) for value in data] if kind is list else data


def typed_parts(dimension: Dimension, parts: Sequence[Any]) -> list[Any]:
    """Typed answers to calls of `dimension` from their data.

    Raises:
        Failed: a validator of the user raised.
    """
    rebuild = dimension.asked.rebuild
    return guarded(lambda: [_own(rebuild(part)) for part in parts], f"rebuilding answers of {dimension.name!r}")


def dumped(output: Output, value: Any, what: str) -> Any:
    """JSON-like data of a value that the user supplied as an answer.

    Raises:
        Failed: it does not fit the output, or a validator raised.
    """

    def dump() -> Any:
        try:
            return output.dump(plain(value, what) if output.is_untyped else value)
        except InputError as error:
            raise user_error(str(error)) from None
        except CallError as error:
            raise user_error(f"{what} does not fit the output: {error.message}") from None

    return guarded(dump, f"checking {what}")


def guarded(function: Callable[[], T], what: str, code: Any = None) -> T:
    """Runs a user's code.

    Args:
        what: what is run, for the error.
        code: the user's function, whose line the error names rather than one of a library it calls.

    Raises:
        Failed: it raised; the error names the exception and the line.
    """
    try:
        return function()
    except Failed:
        raise
    except KeyboardInterrupt as error:
        if threading.current_thread() is threading.main_thread():
            raise  # somebody pressed Ctrl-C: other threads never hear of that
        raise _raised(error, what, code) from error
    except BaseException as error:  # SystemExit, say, would end the event loop of all calls
        raise _raised(error, what, code) from error


def user_error(message: str, place: str = "", *, traceback: str | None = None) -> Failed:
    """The failure of a user's function."""
    return Failed(CallError("user_function", shortened(message) + place, sent=False, traceback=traceback))


def _raised(error: BaseException, what: str, code: Any) -> Failed:
    return user_error(f"{what} raised {told(error)}", _place(error, code), traceback=traceback_of(error))


def _place(error: BaseException, function: Any) -> str:
    frames = list(walk_tb(error.__traceback__))[1:]  # the first one is `guarded`
    code = getattr(function, "__code__", None)
    own = [line for frame, line in frames if isinstance(code, CodeType) and frame.f_code is code]
    if own and isinstance(code, CodeType):
        return f" ({os.path.basename(code.co_filename)}, line {own[-1]})"
    if not frames:
        return ""
    frame, line = frames[-1]
    return f" ({os.path.basename(frame.f_code.co_filename)}, line {line})"
