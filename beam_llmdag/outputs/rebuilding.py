"""Typed objects from the data of a record, without the validators of the user: those ran once, on the answer itself.

A validator that scales a number, or that strips a prefix and demands it, must not run on its own result. So records are
read by a second validator, made of the same schema without the functions of the user's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic_core import PydanticUndefined, SchemaValidator, core_schema

from beam_llmdag.outputs.core_schemas import Node, changed

__all__ = ["Rebuilder"]

_FUNCTIONS = ("function-before", "function-after", "function-wrap")
_CHANGING = frozenset({"strip_whitespace", "to_lower", "to_upper"})
_LIMITING = frozenset(
    {"gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "max_digits", "decimal_places"}
    | {"strict", "now_op", "tz_constraint", "allow_inf_nan", "fail_fast"}
)
_KEPT_CONFIG = frozenset({"title", "val_json_bytes", "extra_fields_behavior", "hide_input_in_errors"})


class Rebuilder:
    """Reads the data of records of one type.

    Args:
        schema: the type's schema of pydantic's core.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._exact = _validator(_Bare(loose=False).node(schema))
        self._loose: SchemaValidator | None = None

    def __call__(self, data: bytes) -> Any:
        """The object of a record.

        Args:
            data: JSON with the names of fields, as an answer that was validated is written down.

        Raises:
            ValidationError: the type's serializers write what its fields do not take.
        """
        try:
            return self._exact.validate_json(data, by_alias=False, by_name=True)
        except ValidationError:  # a validator made a value that its own field would not take
            self._loose = self._loose or _validator(_Bare(loose=True).node(self._schema))
            return self._loose.validate_json(data, by_alias=False, by_name=True)


def _validator(schema: Node) -> SchemaValidator:
    return SchemaValidator(schema, None, False)  # False: not the classes' own validators


class _Bare:
    """Takes the user's functions out of a schema.

    Args:
        loose: also take out limits, and let a value that a function of the user's has made be anything.
    """

    def __init__(self, *, loose: bool) -> None:
        self._loose = loose
        self._forgotten = (_CHANGING | _LIMITING) if loose else _CHANGING

    def node(self, node: Mapping[str, Any]) -> Node:
        """`node` without functions of the user's, its own and those below."""
        bare = self._node(node)
        if not (self._loose and _is_written_otherwise(node)):
            return bare
        # the record has what the user's serializer made of it: what it was, if a validator knows, or just that
        read = [changed(_anonymous(node), self.node)] if node["type"] in _FUNCTIONS else []
        choices = [_anonymous(bare), *read, {"type": "any"}]
        return _known_as(node, {"type": "union", "choices": choices, "mode": "left_to_right"})

    def _node(self, node: Mapping[str, Any]) -> Node:
        kind = node["type"]
        if kind in _FUNCTIONS:
            return _known_as(node, self._function(node))
        if kind == "function-plain":
            return _known_as(node, self._plain(node))
        if kind == "json":
            return _known_as(node, self.node(node["schema"]) if "schema" in node else {"type": "any"})
        bare = changed({key: value for key, value in node.items() if key not in self._forgotten}, self.node)
        if bare.get("extra_behavior") == "forbid":  # computed fields are in the record
            bare["extra_behavior"] = "ignore"
        if "config" in bare:
            bare["config"] = _config(bare["config"])
        match kind:
            case "model":
                return self._model(bare)
            case "dataclass":
                bare["post_init"] = False
            case "dataclass-args":
                fields = [field for field in bare["fields"] if not field.get("init_only")]
                bare["fields"] = [{key: value for key, value in f.items() if key != "init"} for f in fields]
                bare["collect_init_only"] = False
            case "model-field" | "dataclass-field" if _may_be_left_out(bare):
                bare["schema"] = {"type": "default", "schema": bare["schema"], "default": None}
            case "typed-dict-field" if _may_be_left_out(bare):
                bare["required"] = False
            case "tagged-union" if self._loose:
                return _known_as(bare, {"type": "union", "choices": list(bare["choices"].values())})
        return bare

    def _function(self, node: Mapping[str, Any]) -> Node:
        inner = self.node(node["schema"])
        own = _is_part_of_a_type(node["function"]["function"])
        if not self._loose or _is_written_otherwise(node):
            return {**node, "schema": inner} if own else inner
        choices = [{**_anonymous(node), "schema": inner}] if own else []
        return {"type": "union", "choices": [*choices, inner, {"type": "any"}], "mode": "left_to_right"}

    def _plain(self, node: Mapping[str, Any]) -> Node:
        """What is read in place of a function that does all by itself: the annotated type, where pydantic kept it."""
        if _is_part_of_a_type(node["function"]["function"]):
            return dict(node)
        annotated = node.get("serialization", {}).get("schema")
        if annotated is None:
            return {"type": "any"}
        choices = [self.node(annotated), {"type": "any"}]
        return {"type": "union", "choices": choices, "mode": "left_to_right"}

    def _model(self, bare: Node) -> Node:
        cls: type[BaseModel] = bare["cls"]
        bare = {key: value for key, value in bare.items() if key not in ("post_init", "custom_init")}
        finish = functools.partial(_finished, computed=tuple(cls.model_computed_fields), absent=_excluded(cls))
        return _known_as(bare, dict(core_schema.no_info_after_validator_function(finish, _anonymous(bare))))


def _finished(model: BaseModel, computed: tuple[str, ...], absent: tuple[str, ...]) -> BaseModel:
    """`model` with its private attributes as they are at first, and without fields that no record has."""
    if model.__private_attributes__:
        first = {name: attribute.get_default() for name, attribute in model.__private_attributes__.items()}
        known = {name: value for name, value in first.items() if value is not PydanticUndefined}
        object.__setattr__(model, "__pydantic_private__", known)
    for name in computed:
        if model.__pydantic_extra__:
            model.__pydantic_extra__.pop(name, None)
    for name in absent:
        if name not in model.__pydantic_fields_set__:
            model.__dict__.pop(name, None)
    return model


def _excluded(cls: type[BaseModel]) -> tuple[str, ...]:
    """Fields without a default that records may not have."""
    return tuple(name for name, field in cls.model_fields.items() if field.exclude and field.is_required())


def _may_be_left_out(field: Node) -> bool:
    excluded = field.get("serialization_exclude") or field.get("serialization_exclude_if") is not None
    return bool(excluded) and field["schema"]["type"] != "default"


def _config(config: Mapping[str, Any]) -> Node:
    kept = {key: value for key, value in config.items() if key in _KEPT_CONFIG}
    return {**kept, "extra_fields_behavior": "ignore"} if kept.get("extra_fields_behavior") == "forbid" else kept


def _is_written_otherwise(node: Mapping[str, Any]) -> bool:
    """Whether a serializer of the user's writes it."""
    serialization = node.get("serialization", {})
    function = serialization.get("function")
    return serialization.get("type") in ("function-plain", "function-wrap") and not _is_pydantics(function)


def _is_pydantics(function: Any) -> bool:
    return (getattr(function, "__module__", "") or "").startswith("pydantic")


def _is_part_of_a_type(function: Callable[..., Any]) -> bool:
    """Whether `function` is how a type of its own is made of data, and no validator that the user put on a field."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isclass(function) or _is_pydantics(function):
        return True
    if "__get_pydantic_core_schema__.<locals>" in getattr(function, "__qualname__", ""):
        return True
    owner = getattr(function, "__self__", None)
    is_model = inspect.isclass(owner) and (issubclass(owner, BaseModel) or is_pydantic_dataclass(owner))
    return inspect.isclass(owner) and not is_model and hasattr(owner, "__get_pydantic_core_schema__")


def _anonymous(node: Mapping[str, Any]) -> Node:
    return {key: value for key, value in node.items() if key != "ref"}


def _known_as(node: Mapping[str, Any], other: Node) -> Node:
    """`other` under the name by which schemas refer to `node`, if they do."""
    if "ref" not in node:
        return other
    if "ref" in other or other["type"] == "definition-ref":
        other = {"type": "union", "choices": [other]}
    return {**other, "ref": node["ref"]}
