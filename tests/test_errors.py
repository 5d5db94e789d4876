import pickle

import pytest

from beam_llmdag.errors import ERROR_CLASSES, MEANING, CallError, GraphError, InputError, LLMDagError, StrictModeError
from beam_llmdag.outputs.json_search import BrokenJSONError
from beam_llmdag.usage import Usage

CALL_ERROR = CallError(
    "rate_limited",
    "slow down",
    http_status=429,
    request_id="r-1",
    retry_after_seconds=2.5,
    usage=Usage(input_tokens=3),
    sent=False,
    traceback="line 1",
)


@pytest.mark.parametrize(
    "error",
    [GraphError("a"), InputError("b"), StrictModeError("c"), LLMDagError("d"), BrokenJSONError("e"), CALL_ERROR],
)
def test_every_error_survives_pickling(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.args == error.args
    assert vars(copy) == vars(error)


def test_a_call_error_reads_as_its_class_and_message() -> None:
    assert str(CALL_ERROR) == "rate_limited: slow down"


def test_errors_are_what_users_of_python_expect() -> None:
    assert issubclass(GraphError, ValueError)
    assert issubclass(InputError, ValueError)
    assert issubclass(StrictModeError, RuntimeError)
    assert all(issubclass(kind, LLMDagError) for kind in (GraphError, InputError, StrictModeError, CallError))


def test_only_what_passes_by_waiting_is_retried() -> None:
    retried = {name for name, meaning in MEANING.items() if meaning.retried}
    assert retried == {"rate_limited", "overloaded", "timeout", "connection"}


def test_every_class_has_its_meaning() -> None:
    assert tuple(MEANING) == ERROR_CLASSES
