"""What an answer must look like: one `Output` for a pydantic class, a JSON schema, an Enum, a type or text."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from enum import EnumType
from types import GenericAlias
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, SchemaValidator, to_json

from beam_llmdag.errors import CallError, GraphError
from beam_llmdag.outputs.core_schemas import hides_values, nodes
from beam_llmdag.outputs.decimals import decimals_as_text
from beam_llmdag.outputs.json_data import check_data, clean_json
from beam_llmdag.outputs.maps import has_maps, is_map, maps_from_pairs
from beam_llmdag.outputs.rebuilding import Rebuilder
from beam_llmdag.outputs.set_order import JsonSchemaInOrder, serializer_in_order
from beam_llmdag.telling import shown, told, traceback_of, words_of
from beam_llmdag.text import clean_text

__all__ = ["Output"]

_WRAPPER = "value"
_SHOWN_ERRORS = 10
_LONGEST_MESSAGE = 200  # jsonschema quotes the whole value in its messages
_SAYS_SOMETHING = {"type", "properties", "items", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}
_VALUES = ("default", "const", "enum", "examples")  # hold data, which may look like a schema


class Output:
    """The declared output of a dimension, ready to check answers and to describe itself.

    Args:
        declared: a pydantic class or any type that pydantic knows (an Enum, a Literal, a union, `list[Topic]`, …), a
            JSON schema as a dict, or `str` for plain text.

    Attributes:
        declared: as given.
        schema: canonical JSON schema of what a model shall write, an object at its root, keys in field order; None
            for plain text. Providers turn it into their own dialect.
        data_schema: JSON schema of `Result.data`; None for plain text.

    Raises:
        GraphError: `declared` is none of these.
    """

    def __init__(self, declared: Any) -> None:
        self.declared = declared
        self.schema: dict[str, Any] | None = None
        self.data_schema: dict[str, Any] | None = None
        self._adapter: TypeAdapter[Any] | None = None
        self._validator: Any = None
        self._has_decimals = False
        if declared is str:
            return
        from_declared = self._from_json_schema if isinstance(declared, Mapping) else self._from_type
        canonical = from_declared(declared)
        self.schema, self._wrapped = _object_root(canonical)
        self._has_maps = has_maps(self.schema)
        self._inner_schema = self.schema["properties"][_WRAPPER] if self._wrapped else self.schema

    def __getstate__(self) -> dict[str, Any]:
        return {"declared": self.declared}

    def __getattr__(self, name: str) -> Any:
        """Builds a copy when it is first used: while it is unpickled its class may be half read."""
        if name.startswith("__") or "declared" not in self.__dict__ or "schema" in self.__dict__:
            raise AttributeError(name)
        self.__dict__.update(Output(self.declared).__dict__)
        return getattr(self, name)

    @property
    def is_text(self) -> bool:
        """Whether any text is an answer."""
        return self.schema is None

    @property
    def is_untyped(self) -> bool:
        """Whether any JSON-like value may be part of an answer, rather than objects of classes that are declared."""
        return self.declared is Any or isinstance(self.declared, Mapping)

    def listed(self) -> Output:
        """The output of several answers: a list of these."""
        if isinstance(self.declared, Mapping):
            assert self.data_schema is not None
            return Output(_list_schema(self.data_schema))
        return Output(GenericAlias(list, (self.declared,)))

    def load(self, value: Any) -> Any:
        """Checks a JSON value that a model wrote for `schema`.

        Returns:
            The answer as JSON-like data with clean text.

        Raises:
            CallError: `invalid_answer`, naming the fields that are wrong; `user_function` if a validator raised.
        """
        if self.schema is None:
            return check_data(value)
        if self._wrapped and isinstance(value, dict) and set(value) == {_WRAPPER}:
            value = value[_WRAPPER]
        try:
            if self._has_maps:
                value = maps_from_pairs(value, self._inner_schema, {"#": self.schema, **self.schema.get("$defs", {})})
            if self._has_decimals:
                value = decimals_as_text(value, self._inner_schema, self.schema.get("$defs", {}))
            return self._checked(lambda: self._validated(value))
        except RecursionError:
            raise CallError("invalid_answer", "the JSON is nested too deeply") from None

    def dump(self, value: Any) -> Any:
        """JSON-like data of a Python value that the user supplied, checked like an answer.

        Raises:
            CallError: `invalid_answer`, if the value does not fit the declared output.
        """
        if self.schema is None:
            if not isinstance(value, str):
                raise CallError("invalid_answer", f"a text is asked for, not {type(value).__name__}: {shown(value)}")
            return clean_text(value)
        adapter = self._adapter
        if adapter is None:
            return deepcopy(self._validated(value))
        return self._checked(lambda: self._dumped(adapter.validate_python(value, by_alias=True, by_name=True)))

    def rebuild(self, data: Any) -> Any:
        """The typed object that prompt functions see, from the data of a result; no validator of the user's runs."""
        if self._adapter is None:
            return data
        return self._rebuilder(clean_json(data))

    def _validated(self, value: Any) -> Any:
        if self._adapter is None:
            value = check_data(value)
            errors = sorted(self._validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
            if errors:
                said = (
                    _where(error.absolute_path) + error.message[:_LONGEST_MESSAGE] for error in errors[:_SHOWN_ERRORS]
                )
                raise CallError("invalid_answer", "; ".join(said))
            return value
        # clean before pydantic reads it, which rejects halves of surrogate pairs
        return self._dumped(self._adapter.validator.validate_json(clean_json(value)))

    def _checked(self, validate: Callable[[], Any]) -> Any:
        """What `validate` returns, with its exceptions told as a `CallError`."""
        try:
            return validate()
        except CallError:
            raise
        except ValidationError as error:
            raise CallError("invalid_answer", _said(error)) from None
        except RecursionError:
            raise
        except PydanticSerializationError as error:
            raise CallError("invalid_answer", words_of(error)) from None
        except BaseException as error:  # a validator may raise anything, and pydantic lets most of it through
            raise CallError(
                "user_function", f"a validator of the output raised {told(error)}", traceback=traceback_of(error)
            ) from error

    def _dumped(self, value: Any) -> Any:
        return check_data(self._serializer.to_python(value, mode="json", by_alias=False, fallback=_known))

    def _from_json_schema(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        import jsonschema  # slow, and few outputs are declared this way

        schema = dict(declared)
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise GraphError(
                f"the output is no valid JSON schema: {_where(error.absolute_path)}{error.message}"
            ) from None
        if not schema.keys() & _SAYS_SOMETHING:
            raise GraphError(
                "the output is a JSON schema that asks for nothing: it has no 'type', 'properties' or 'anyOf'; "
                f"its keys are {', '.join(map(repr, schema)) or 'missing'}"
            )
        schema = _with_defs(schema)
        _check_references(schema)
        _check_enums(schema)
        self._validator = jsonschema.Draft202012Validator(schema)
        self.data_schema = schema
        return schema

    def _from_type(self, declared: Any) -> dict[str, Any]:
        if declared is None or inspect.isroutine(declared):
            raise _no_output(declared, "leave output away, or write output=str, for plain text")
        try:
            self._adapter = TypeAdapter(declared)
            for node in nodes(self._adapter.core_schema):
                self._has_decimals |= node["type"] == "decimal"
                if isinstance(node.get("cls"), EnumType):
                    _check_members(node["cls"], node)
            if hides_values(self._adapter.core_schema):
                raise _no_output(declared, "a secret is written as asterisks, and the answer would be lost; use str")
            self._rebuilder = Rebuilder(self._adapter.core_schema)
            self._serializer = serializer_in_order(self._adapter)
            self.data_schema = self._adapter.json_schema(
                mode="serialization", by_alias=False, schema_generator=JsonSchemaInOrder
            )
            return self._adapter.json_schema(mode="validation", schema_generator=JsonSchemaInOrder)
        except (PydanticUserError, TypeError, NameError, AssertionError) as error:
            # NameError: of a forward reference to nothing; AssertionError: of a Literal of nothing
            raise _no_output(declared, str(error).partition("\n")[0]) from None


def _known(value: Any) -> Any:
    """What pydantic knows in the place of a number or an array of numpy's, which have no class in common with it."""
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    raise PydanticSerializationError(f"a value of type {type(value).__qualname__} is not JSON-like")


def _no_output(declared: Any, reason: str) -> GraphError:
    return GraphError(
        f"an output is a pydantic class, an Enum, a Literal, a JSON schema or str, not {declared!r:.100}: {reason}"
    )


def _with_defs(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with its definitions in `$defs`; before 2019 JSON schema had them in `definitions`."""
    if "definitions" not in schema:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("definitions", "$defs")}
    whole = {**rest, "$defs": {**schema["definitions"], **schema.get("$defs", {})}}
    moved: dict[str, Any] = _renamed(whole, "^#/definitions/", "#/$defs/")
    return moved


def _list_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of a list of what `schema` describes."""
    name = "Answer"
    while name in schema.get("$defs", {}):
        name += "_"
    place = f"#/$defs/{name}"
    answer = _renamed(schema, "^#$", place)
    definitions = {**answer.pop("$defs", {}), name: answer}
    return {"type": "array", "items": {"$ref": place}, "$defs": definitions}


def _renamed(schema: Any, pattern: str, to: str) -> Any:
    """`schema` with another beginning of its references."""
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            schema = {**schema, "$ref": re.sub(pattern, to, reference)}
        return {key: _renamed(value, pattern, to) for key, value in schema.items()}
    return [_renamed(value, pattern, to) for value in schema] if isinstance(schema, list) else schema


def _check_references(schema: Mapping[str, Any]) -> None:
    """Nothing is looked up elsewhere, let alone on the network: references are to `$defs`, or an object's to itself."""
    for reference in _references(schema):
        itself = reference == "#" and schema.get("type") == "object" and not is_map(schema)
        if not itself and reference.removeprefix("#/$defs/") not in schema.get("$defs", {}):
            raise GraphError(f"the output refers to {reference!r}, which is not in its '$defs'; put it there")


def _check_enums(schema: Any) -> None:
    if isinstance(schema, Mapping):
        if schema.get("enum") == []:
            raise _no_members(schema.get("title", "enum"))
        for key, value in schema.items():
            if key not in _VALUES:
                _check_enums(value)
    elif isinstance(schema, list):
        for value in schema:
            _check_enums(value)


def _check_members(enum: Any, node: Any) -> None:
    """Every member must be one that an answer can name: pydantic finds texts, numbers and null."""
    if not len(enum):
        raise _no_members(enum.__name__)
    validator = SchemaValidator(node)
    for member in enum:
        try:
            validator.validate_json(to_json(member.value))
        except ValueError:  # ValidationError is one
            raise GraphError(
                f"the output has the enum {enum.__name__!r}, and no JSON value stands for its member {member.name!r}, "
                f"which is {shown(member.value)}: no answer could name it; give it a text or a number"
            ) from None


def _no_members(name: str) -> GraphError:
    return GraphError(f"the output has the enum {name!r}, which has no members: no answer could fit it")


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _object_root(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """`schema` with an object at its root, and whether it had to be wrapped in one for that: APIs ask for it.

    A map is wrapped as well, since an API without maps gets a list in its place.
    """
    definitions = schema.get("$defs", {})
    root = dict(schema)
    reference = root.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        root = {**definitions[reference.removeprefix("#/$defs/")], "$defs": definitions}
    if root.get("type") == "object" and not is_map(root):
        return root, False
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    wrapped: dict[str, Any] = {"type": "object", "properties": {_WRAPPER: inner}, "required": [_WRAPPER]}
    return ({**wrapped, "$defs": definitions} if definitions else wrapped), True


def _where(path: Any) -> str:
    name = ".".join(str(part) for part in path)
    return f"{name}: " if name else ""


def _said(error: ValidationError) -> str:
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    said = "; ".join(_where(e["loc"]) + e["msg"] for e in errors[:_SHOWN_ERRORS])
    more = len(errors) - _SHOWN_ERRORS
    return f"{said}; and {more} more" if more > 0 else said
