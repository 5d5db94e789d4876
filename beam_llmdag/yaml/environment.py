"""The Jinja that dag files are written in: sandboxed, strict about what is not there, and with an end."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any

from pydantic_core import to_jsonable_python

from beam_llmdag.yaml.bounds import check_method, check_operator, made, step

try:
    import jinja2
    from jinja2 import nodes
    from jinja2.filters import make_multi_attrgetter
    from jinja2.runtime import Context
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.visitor import NodeTransformer
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("dag files need Jinja: pip install 'beam-llmdag[yaml]'") from error

__all__ = ["ATTRIBUTE_AT", "GLOBALS", "SELF", "environment"]

GLOBALS = frozenset({"namespace", "range", "zip"})
"""Functions of every template; `zip` for the aligned lists of a global."""

SELF = "self"
"""What Jinja calls the template itself, whatever else is called so."""

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

_ASK_WHETHER = frozenset({"d", "default", "defined", "undefined"})
"""Filters and tests for what may not be there."""

_WEIGHT_OF_A_CALL = 20
"""A call of a macro, or of a recursive loop, in rounds of a loop."""


class _Undefined(jinja2.StrictUndefined):
    """Something that is not there: an error wherever it is used, in a list that is printed as well."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)  # which raises


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja without access to Python's insides, where a variable or field that is not there is an error."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The field `values` of a dict is its field, not the method."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Looks at the size of what comes out, before and after."""
        check_operator(operator, left, right)
        return made(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as Jinja's
        """Looks at the size of what comes out, before and after."""
        method = getattr(__obj, "__wrapped__", __obj)  # Jinja wraps `format`
        owner = getattr(method, "__self__", None)
        if isinstance(owner, (str, bytes, int)):
            check_method(method.__name__, owner, [*args, *kwargs.values()])
        return made(super().call(__context, __obj, *args, **kwargs))

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        _Counting().visit(source)
        return super()._generate(source, *args, **kwargs)


class _Counting(NodeTransformer):
    """Puts a count into what may run many times, and a look at their size around texts that are joined."""

    def visit_For(self, node: Any) -> nodes.Node:  # noqa: N802 - the name is Jinja's
        self.generic_visit(node)
        weight = 1 if isinstance(node, nodes.For) and not node.recursive else _WEIGHT_OF_A_CALL
        node.body.insert(0, nodes.ExprStmt(_through("_step", nodes.Const(weight), node)).set_lineno(node.lineno))
        return node  # type: ignore[no-any-return]

    visit_Macro = visit_CallBlock = visit_For  # noqa: N815 - as above

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - the name is Jinja's
        self.generic_visit(node)
        return _through("_made", node, node)


def _through(name: str, value: nodes.Expr, place: nodes.Node) -> nodes.Filter:
    made_of = nodes.Filter(value, name, [], [], None, None)
    made_of.set_lineno(place.lineno)
    made_of.set_environment(environment())
    return made_of


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The one environment of this process."""
    made_here = _Environment(
        undefined=_Undefined, trim_blocks=True, lstrip_blocks=True, autoescape=False, finalize=_printed
    )
    made_here.globals["zip"] = zip
    made_here.globals = {name: made_here.globals[name] for name in GLOBALS}
    filters = made_here.filters
    del filters["random"]  # the same item must give the same prompt, or its answer is paid for twice
    filters["tojson"] = _json
    function: Any
    for name, function in filters.items():
        filters[name] = _strict(_reading(name, function) if name in ATTRIBUTE_AT else function, name)
    for name, function in made_here.tests.items():
        made_here.tests[name] = _strict(function, name)
    filters.update(_step=_step, _made=_made)
    return made_here


def _strict(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A filter or test for which something that is not there is an error, and whose values have a bound."""
    first = int(hasattr(function, "jinja_pass_arg"))  # Jinja's own argument, before the value

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = args[first:]
        if name not in _ASK_WHETHER:
            for value in given:
                _there(value)
        check_method(name, given[0], [*given[1:], *kwargs.values()])
        return made(function(*args, **kwargs))

    return checked


def _reading(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that reads a field of each element, for which one that is not there is an error."""
    position = ATTRIBUTE_AT[name]

    @wraps(function)
    def checked(place: Any, values: Any, *args: Any, **kwargs: Any) -> Any:
        at = None if position is None else next(iter(args[position : position + 1]), None)
        attribute = kwargs.get("attribute", at)
        asks_whether = name in ("rejectattr", "selectattr") and not _ASK_WHETHER.isdisjoint(map(str, args[1:2]))
        has_default = "default" in kwargs or (name == "groupby" and len(args) > 1)
        if attribute is None or asks_whether or has_default:
            return function(place, values, *args, **kwargs)
        read, known = make_multi_attrgetter(environment(), attribute), list(values)
        for value in known:
            for field in read(value):
                _there(field)
        return function(place, known, *args, **kwargs)

    return checked


def _there(value: Any) -> None:
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises, and says what is missing


@jinja2.pass_context
def _step(_: Context, weight: int) -> None:
    step(weight)


@jinja2.pass_context
def _made(_: Context, value: Any) -> Any:
    return made(value)


def _printed(value: Any) -> Any:
    if inspect.isroutine(value):  # where a dict has no field `values`, say
        raise TypeError(f"{value.__name__!r} is a method, and no field: call it, or name a field")
    return value


def _json(value: Any) -> str:
    """Jinja's own filter escapes for HTML, and knows no pydantic objects."""
    return json.dumps(to_jsonable_python(value), ensure_ascii=False)
