"""Jinja templates and expressions as the functions of a dimension: their variables name what it needs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any

from pydantic_core import to_jsonable_python

from beam_llmdag.errors import GraphError
from beam_llmdag.telling import told
from beam_llmdag.user_code import user_error

try:
    import jinja2
    from jinja2 import meta, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("dag files need Jinja: pip install 'beam-llmdag[yaml]'") from error

__all__ = ["GLOBALS", "Expression", "Template", "Text"]

GLOBALS = frozenset({"namespace", "range", "zip"})
"""Functions of every template; `zip` for the aligned lists of a global."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """The text of a template and its place.

    Attributes:
        source: the text.
        file: the file it is from.
        line: the line of the file on which its first line stands.
        label: what it is called in errors, for example `"prompt of dimension 'topics'"`.
    """

    source: str
    file: str
    line: int
    label: str

    def error(self, message: str, line: int = 1) -> GraphError:
        """An error at a line of this text, counted from 1."""
        return GraphError(f"{self.file}:{self.line + line - 1}: {self.label}: {message}")


class Template:
    """A Jinja template as a function of its variables, which returns the text.

    It travels to workers as its text, and each process compiles it once.

    Args:
        text: the template.

    Attributes:
        lines: variable -> the line of the file on which it is first used.

    Raises:
        GraphError: the template is wrong; the message names file, line and dimension.
    """

    def __init__(self, text: Text) -> None:
        self.text = text
        self.lines = _variables(text, text.source)

    @property
    def __signature__(self) -> inspect.Signature:
        """Its variables, as `Function` reads the parameters of any function."""
        return _signature(self.lines)

    def __call__(self, **values: Any) -> str:
        """The text of the template.

        Raises:
            Failed: a variable has no such field, or the like; the error names file and line.
        """
        template = _compiled(self.text.source)
        try:
            return "".join(template.root_render_func(template.new_context(values)))
        except Exception as error:  # templates call methods of the user's objects
            line = self.text.line + _line(template, error.__traceback__) - 1
            raise _raised(self.text, error, line) from error


class Expression:
    """A Jinja expression as a function of its variables, which returns the value. See `Template`.

    Args:
        text: the expression, without braces.
    """

    def __init__(self, text: Text) -> None:
        self.text = text
        if text.source.lstrip().startswith(("{{", "{%")):
            raise text.error("it is an expression: write it without the braces")
        try:
            _environment().compile_expression(text.source)
        except jinja2.TemplateSyntaxError as error:
            raise text.error(error.message or "no expression", error.lineno) from None
        self.lines = _variables(text, "{% set value = (" + text.source + "\n) %}")

    @property
    def __signature__(self) -> inspect.Signature:
        """Its variables, as `Function` reads the parameters of any function."""
        return _signature(self.lines)

    def __call__(self, **values: Any) -> Any:
        """The value of the expression.

        Raises:
            Failed: a variable has no such field, or the like; the error names file and line.
        """
        try:
            value = _environment().compile_expression(self.text.source, undefined_to_none=False)(**values)
            if isinstance(value, jinja2.Undefined):
                str(value)  # raises what was undefined
        except Exception as error:  # expressions call methods of the user's objects
            raise _raised(self.text, error, self.text.line) from error
        return value


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja without access to Python's insides, where a variable or field that is not there is an error."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The field `values` of a dict is its field, not the method."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


@lru_cache(maxsize=1)
def _environment() -> _Environment:
    environment = _Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False, finalize=_printed
    )
    environment.globals["zip"] = zip
    environment.globals = {name: environment.globals[name] for name in GLOBALS}
    del environment.filters["random"]  # the same item must give the same prompt, or its answer is paid for twice
    environment.filters["tojson"] = _json
    return environment


@lru_cache(maxsize=1000)
def _compiled(source: str) -> jinja2.Template:
    return _environment().from_string(source)


def _printed(value: Any) -> Any:
    if inspect.isroutine(value):  # where a dict has no field `values`, say
        raise TypeError(f"{value.__name__!r} is a method, and no field: call it, or name a field")
    return value


def _json(value: Any) -> str:
    """Jinja's own filter escapes for HTML, and knows no pydantic objects."""
    return json.dumps(to_jsonable_python(value), ensure_ascii=False)


def _variables(text: Text, source: str) -> dict[str, int]:
    """The variables that `source` is to be given, in the order of their first use, each with its line in the file."""
    environment = _environment()
    try:
        parsed = environment.parse(source)
        environment.compile(source)  # finds unknown filters and tests
    except jinja2.TemplateSyntaxError as error:
        raise text.error(error.message or "no template", error.lineno) from None
    if next(iter(meta.find_referenced_templates(parsed)), parsed) is not parsed:
        raise text.error("a template of a dag file cannot include, import or extend others")
    unknown = meta.find_undeclared_variables(parsed) - environment.globals.keys()
    found: dict[str, int] = {}
    for name in parsed.find_all(nodes.Name):
        if name.name in unknown:
            found.setdefault(name.name, text.line + name.lineno - 1)
    return found


def _signature(names: Mapping[str, int]) -> inspect.Signature:
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names])


def _line(template: jinja2.Template, traceback: TracebackType | None) -> int:
    """The line of the template in which an error was raised."""
    line = 1
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__jinja_template__") is template:
            line = template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return line


def _raised(text: Text, error: Exception, line: int) -> Exception:
    return user_error(f"{text.label} raised {told(error)}", f" ({text.file}, line {line})")
