"""The Jinja that dag files are written in: sandboxed, strict about what is not there, and with an end."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic_core import to_jsonable_python

try:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("dag files need Jinja: pip install 'beam-llmdag[yaml]'") from error

__all__ = ["ATTRIBUTE_AT", "GLOBALS", "environment"]

GLOBALS = frozenset({"namespace", "range", "zip"})
"""Functions of every template; `zip` for the aligned lists of a global."""

ATTRIBUTE_AT: Mapping[str, int | None] = {
    "groupby": 0,
    "map": None,
    "max": 1,
    "min": 1,
    "rejectattr": 0,
    "selectattr": 0,
    "sort": 2,
    "sum": 0,
    "unique": 1,
}
"""Filters that read a field of each element -> where among their arguments its name may stand, besides `attribute=`."""


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja without access to Python's insides, where a variable or field that is not there is an error."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The field `values` of a dict is its field, not the method."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The one environment of this process."""
    made = _Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False, finalize=_printed
    )
    made.globals["zip"] = zip
    made.globals = {name: made.globals[name] for name in GLOBALS}
    del made.filters["random"]  # the same item must give the same prompt, or its answer is paid for twice
    made.filters["tojson"] = _json
    return made


def _printed(value: Any) -> Any:
    if inspect.isroutine(value):  # where a dict has no field `values`, say
        raise TypeError(f"{value.__name__!r} is a method, and no field: call it, or name a field")
    return value


def _json(value: Any) -> str:
    """Jinja's own filter escapes for HTML, and knows no pydantic objects."""
    return json.dumps(to_jsonable_python(value), ensure_ascii=False)
