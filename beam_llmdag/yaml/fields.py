"""Whether the fields that a template names can be there, before anything is paid for what they are read from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from jinja2 import nodes
from jinja2.runtime import LoopContext

from beam_llmdag.graph.dimension import Dimension, Step
from beam_llmdag.outputs.output import Output
from beam_llmdag.yaml.environment import ATTRIBUTE_AT
from beam_llmdag.yaml.schema_shape import shape_of_schema
from beam_llmdag.yaml.shape import ANYTHING, ListShape, MapShape, ObjectShape, Shape, TupleShape, union_of
from beam_llmdag.yaml.template import Expression, Template
from beam_llmdag.yaml.type_shape import shape_of_type

__all__ = ["check_fields", "shapes_of"]

_SHOWN = 10
_GROUP = ("grouper", "list")
_SAME_ELEMENTS = frozenset({"list", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "unique"})
_ONE_ELEMENT = frozenset({"first", "last", "max", "min"})
_LOOP = tuple(name for name in dir(LoopContext) if not name.startswith("_"))

Scope = dict[str, Shape]
"""What is known of the variables at some place in a template."""


class _ItemShape(Shape):
    """An `Item`."""

    _FIELDS: Mapping[str, Shape] = {
        "id": ObjectShape(str),
        "content": ANYTHING,
        "metadata": MapShape(ANYTHING),
        "source_ids": ListShape(ObjectShape(str), tuple),
    }
    names = tuple(_FIELDS)

    def field(self, name: str) -> Shape | None:
        return self._FIELDS.get(name)


_ITEM = _ItemShape()


def shapes_of(step: Dimension, steps: Mapping[str, Step], *, about_all: bool) -> Mapping[str, Shape]:
    """What is known of the arguments of a function of `step`.

    Args:
        steps: the dag's.
        about_all: whether it is called once for all items: it gets aligned lists of what item dimensions said.
    """
    shapes: Scope = {"item": _ITEM, "items": ListShape(_ITEM), "parts": ListShape(_answer(step.asked))}
    for name, needed in steps.items():
        if not isinstance(needed, Dimension):
            continue
        answer = _answer(needed.output)
        if about_all and needed.scope == "item":
            answer = ListShape(answer)
        elif about_all and needed.per is not None:
            answer = MapShape(answer)
        shapes[name] = answer
    return shapes


def _answer(output: Output) -> Shape:
    """What is known of an answer before there is one."""
    if output.data_schema is not None and isinstance(output.declared, Mapping):
        return shape_of_schema(output.data_schema)
    return shape_of_type(output.declared)


def check_fields(template: Template | Expression, known: Mapping[str, Shape]) -> None:
    """Checks every field that a template reads from its variables, through loops, `set` and filters.

    Args:
        known: what is known of the variables.

    Raises:
        GraphError: a field that cannot be there; the message names file, line, dimension and the nearest field.
    """
    tree = template.tree()
    _Check(template, known, {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}).body(
        tree.body, dict(known)
    )


class _Check:
    """Goes through a template once, with what is known of the variables at each place."""

    def __init__(self, template: Template | Expression, known: Mapping[str, Shape], stored: Iterable[str]) -> None:
        self._text = template.text
        self._elsewhere = {**known, **dict.fromkeys(stored, ANYTHING)}

    def body(self, statements: Iterable[nodes.Node], scope: Scope) -> None:
        for statement in statements:
            self._statement(statement, scope)

    def _statement(self, node: nodes.Node, scope: Scope) -> None:
        match node:
            case nodes.For():
                self._loop(node, scope)
            case nodes.If():
                self._branches(node, scope)
            case nodes.Assign():
                _bind(node.target, self._value(node.node, scope), scope)
            case nodes.AssignBlock():
                self.body(node.body, dict(scope))
                if node.filter is not None:
                    self._value(node.filter, scope)
                _bind(node.target, ANYTHING, scope)
            case nodes.With():
                inner = dict(scope)
                for target, value in zip(node.targets, node.values, strict=True):
                    _bind(target, self._value(value, scope), inner)
                self.body(node.body, inner)
            case nodes.Macro() | nodes.CallBlock() | nodes.Block():  # run when and where nobody knows
                inner = {**self._elsewhere, **{arg.name: ANYTHING for arg in getattr(node, "args", ())}}
                for value in (*getattr(node, "defaults", ()), *filter(None, [getattr(node, "call", None)])):
                    self._value(value, scope)
                self.body(node.body, inner)
            case nodes.FilterBlock() | nodes.Scope() | nodes.ScopedEvalContextModifier():
                self._parts(node, dict(scope))
            case _:
                self._parts(node, scope)

    def _parts(self, node: nodes.Node, scope: Scope) -> None:
        for part in node.iter_child_nodes():
            if isinstance(part, nodes.Expr):
                self._value(part, scope)
            else:
                self._statement(part, scope)

    def _loop(self, node: nodes.For, scope: Scope) -> None:
        # a recursive loop goes over what it is called with, too
        element = ANYTHING if node.recursive else self._value(node.iter, scope).element()
        inner = {**scope, "loop": ObjectShape(LoopContext, _LOOP)}
        _bind(node.target, element, inner)
        if node.test is not None:
            self._value(node.test, inner)
        self.body(node.body, inner)
        self.body(node.else_, dict(scope))

    def _branches(self, node: nodes.If, scope: Scope) -> None:
        """Afterwards a variable that was set in one of the branches is what any of them made it."""
        self._value(node.test, scope)
        after = [dict(scope)]
        for statements in (node.body, [*node.elif_], node.else_):
            inner = dict(scope)
            self.body(statements, inner)
            after.append(inner)
        for name in {name for inner in after for name in inner}:
            found = list({id(inner[name]): inner[name] for inner in after if name in inner}.values())
            scope[name] = union_of(found)

    def _value(self, node: nodes.Node, scope: Scope) -> Shape:
        """What an expression's value is, with everything in it checked."""
        match node:
            case nodes.Name():
                return scope.get(node.name, ANYTHING)
            case nodes.Getattr():
                return self._field(self._value(node.node, scope), node.attr, node, node.node)
            case nodes.Getitem():
                return self._item(node, scope)
            case nodes.Filter():
                value = ANYTHING if node.node is None else self._value(node.node, scope)
                return self._filtered(node, value, scope)
            case nodes.Call():
                return self._called(node, scope)
            case nodes.CondExpr():
                self._value(node.test, scope)
                branches = [node.expr1, node.expr2] if node.expr2 is not None else [node.expr1]
                return union_of([self._value(branch, scope) for branch in branches])
            case nodes.And() | nodes.Or():
                return union_of([self._value(node.left, scope), self._value(node.right, scope)])
            case nodes.List():
                return ListShape(union_of([self._value(item, scope) for item in node.items]))
            case nodes.Tuple():
                return TupleShape([self._value(item, scope) for item in node.items])
            case _:
                self._parts(node, scope)
                return ANYTHING

    def _field(self, value: Shape, name: str, node: nodes.Node, of: nodes.Node | None) -> Shape:
        found = value.field(name)
        if found is None:
            raise self._text.error(f"{_told(of)} has no field {name!r}{_hint(value, name)}", node.lineno)
        return found

    def _item(self, node: nodes.Getitem, scope: Scope) -> Shape:
        value = self._value(node.node, scope)
        self._value(node.arg, scope)
        match node.arg:
            case nodes.Const(value=str() as name):
                return self._field(value, name, node, node.node)
            case nodes.Const(value=int() as index):
                return value.item(index)
            case nodes.Slice():
                return ListShape(value.element()) if isinstance(value, ListShape) else ANYTHING
            case _:
                return value.item()

    def _called(self, node: nodes.Call, scope: Scope) -> Shape:
        arguments = [self._value(argument, scope) for argument in node.args]
        for others in (*node.kwargs, *filter(None, [node.dyn_args, node.dyn_kwargs])):
            self._value(others, scope)
        if isinstance(node.node, nodes.Name) and node.node.name == "zip":
            return ListShape(TupleShape([argument.element() for argument in arguments]))
        if not isinstance(node.node, nodes.Getattr):
            self._value(node.node, scope)
            return ANYTHING
        value = self._value(node.node.node, scope)
        name = _text_of(node.args[0]) if node.args else None
        if node.node.attr == "get" and value.is_mapping and name is not None:
            return union_of([self._field(value, name, node, node.node.node), *arguments[1:]])
        self._field(value, node.node.attr, node, node.node.node)
        if isinstance(value, MapShape) and node.node.attr in ("items", "values"):
            return ListShape(TupleShape([ANYTHING, value.value]) if node.node.attr == "items" else value.value)
        return ANYTHING

    def _filtered(self, node: nodes.Filter, value: Shape, scope: Scope) -> Shape:
        arguments = [self._value(argument, scope) for argument in node.args]
        for others in (*node.kwargs, *filter(None, [node.dyn_args, node.dyn_kwargs])):
            self._value(others, scope)
        element = value.element()
        fields = self._attributes(node, element)
        match node.name:
            case "map":
                return ListShape(fields[0] if fields else ANYTHING)
            case "groupby":
                return ListShape(TupleShape([fields[0] if fields else ANYTHING, ListShape(element)], _GROUP))
            case "batch" | "slice":
                return ListShape(ListShape(element))
            case "items":
                return ListShape(TupleShape([ANYTHING, value.value if isinstance(value, MapShape) else ANYTHING]))
            case "attr" if node.args and (name := _text_of(node.args[0])) is not None:
                return self._field(value, name, node, node.node)
            case "default" | "d":
                return union_of([value, *arguments[:1]])
            case name if name in _SAME_ELEMENTS:
                return ListShape(element)
            case name if name in _ONE_ELEMENT:
                return element
            case _:
                return ANYTHING

    def _attributes(self, node: nodes.Filter, element: Shape) -> list[Shape]:
        """What a filter reads from each element by its argument `attribute`, several behind commas in `sort`."""
        if node.name not in ATTRIBUTE_AT:
            return []
        position = ATTRIBUTE_AT[node.name]
        named = [each.value for each in node.kwargs if each.key == "attribute"]
        if position is not None:
            named += node.args[position : position + 1]
        paths = _text_of(named[0]) if named else None
        if paths is None:
            return []
        return [self._along(path, element, node) for path in (paths.split(",") if node.name == "sort" else [paths])]

    def _along(self, path: str, value: Shape, node: nodes.Filter) -> Shape:
        for part in path.split("."):
            if part.isdigit():
                value = value.item(int(part))
            else:
                found = value.field(part)
                if found is None:
                    told = f"{_told(node.node)}: {node.name} reads a field {part!r} that its elements do not have"
                    raise self._text.error(told + _hint(value, part), node.lineno)
                value = found
        return value


def _bind(target: nodes.Node, value: Shape, scope: Scope) -> None:
    """Enters in `scope` what a loop or `set` gives to its variables."""
    if isinstance(target, nodes.Name):
        scope[target.name] = value
    elif isinstance(target, nodes.Tuple):
        for index, part in enumerate(target.items):
            _bind(part, value.item(index) if isinstance(value, ListShape) else ANYTHING, scope)


def _text_of(node: nodes.Node) -> str | None:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None


def _told(node: nodes.Node | None) -> str:
    """An expression in words for an error."""
    match node:
        case nodes.Name():
            return repr(node.name)
        case nodes.Getattr():
            return repr(f"{_told(node.node).strip(chr(39))}.{node.attr}")
        case nodes.Getitem(node=inner):
            return f"an element of {_told(inner)}"
        case nodes.Filter():
            return f"{_told(node.node)} | {node.name}"
        case _:
            return "a value"


def _hint(value: Shape, name: str) -> str:
    """What may have been meant."""
    close = difflib.get_close_matches(name, value.names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    if value is _ITEM:
        return f"; did you mean 'metadata.{name}'?"
    if isinstance(value, ListShape) and value.element().field(name) is not None:
        return "; it is a list, and its elements have it: loop over it"
    shown = value.names[:_SHOWN]
    return f"; there are: {', '.join(shown)}{', …' if len(value.names) > _SHOWN else ''}" if shown else ""
