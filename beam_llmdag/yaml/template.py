"""Jinja templates and expressions as the functions of a dimension: their variables name what it needs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any

import jinja2
from jinja2 import meta, nodes

from beam_llmdag.errors import GraphError
from beam_llmdag.graph.names import written_name
from beam_llmdag.run.user_code import user_error
from beam_llmdag.telling import told
from beam_llmdag.yaml.bounds import counted, written
from beam_llmdag.yaml.environment import SELF, environment

__all__ = ["Expression", "Template", "Text"]


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
        self._spelled = _variables(text, text.source)
        self.lines = _as_python_reads_them(self._spelled)

    def tree(self) -> nodes.Template:
        """Its syntax tree."""
        return environment().parse(self.text.source)

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
            with counted(values.values()):
                given = _as_spelled(self._spelled, values)
                return "".join(map(written, template.root_render_func(template.new_context(given))))
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
            environment().compile_expression(text.source)
        except jinja2.TemplateSyntaxError as error:
            raise text.error(error.message or "no expression", error.lineno) from None
        self._spelled = _variables(text, self._statement)
        self.lines = _as_python_reads_them(self._spelled)

    @property
    def _statement(self) -> str:
        return "{% set value = (" + self.text.source + "\n) %}"

    def tree(self) -> nodes.Template:
        """Its syntax tree, as the value of a `set`."""
        return environment().parse(self._statement)

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
            with counted(values.values()):
                compiled = environment().compile_expression(self.text.source, undefined_to_none=False)
                value = compiled(**_as_spelled(self._spelled, values))
            if isinstance(value, jinja2.Undefined):
                str(value)  # raises what was undefined
        except Exception as error:  # expressions call methods of the user's objects
            raise _raised(self.text, error, self.text.line) from error
        return value


@lru_cache(maxsize=1000)
def _compiled(source: str) -> jinja2.Template:
    return environment().from_string(source)


def _variables(text: Text, source: str) -> dict[str, int]:
    """The variables that `source` is to be given, in the order of their first use, each with its line in the file."""
    jinja = environment()
    try:
        parsed = jinja.parse(source)
        jinja.compile(source)  # finds unknown filters and tests
    except jinja2.TemplateSyntaxError as error:
        raise text.error(error.message or "no template", error.lineno) from None
    if next(iter(meta.find_referenced_templates(parsed)), parsed) is not parsed:
        raise text.error("a template of a dag file cannot include, import or extend others")
    unknown = meta.find_undeclared_variables(parsed) - jinja.globals.keys()
    found: dict[str, int] = {}
    for name in parsed.find_all(nodes.Name):
        if name.name == SELF:
            raise text.error(f"{SELF!r} is the template itself, and has no text", name.lineno)
        if name.name in unknown:
            found.setdefault(name.name, text.line + name.lineno - 1)
    return found


def _as_python_reads_them(spelled: Mapping[str, int]) -> dict[str, int]:
    return {written_name(name): line for name, line in spelled.items()}


def _as_spelled(spelled: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` by the names that a template has for them: Jinja compares letters as they are typed."""
    return {name: values[written_name(name)] for name in spelled}


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
