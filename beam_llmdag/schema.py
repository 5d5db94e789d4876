"""What an answer must look like: one `Output` for a pydantic class, a JSON schema, an Enum, a Literal, a type or text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from beam_llmdag.errors import CallError, GraphError
from beam_llmdag.json_data import check_data

__all__ = ["Output"]

_WRAPPER = "value"
_SHOWN_ERRORS = 10
_PAIR = {"key", "value"}


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
        if declared is str:
            return
        if isinstance(declared, Mapping):
            canonical = self._from_json_schema(declared)
        else:
            canonical = self._from_type(declared)
        self.schema, self._wrapped = _object_root(canonical)
        self._has_maps = _has_maps(self.schema)

    def __reduce__(self) -> tuple[type[Output], tuple[Any]]:
        return (Output, (self.declared,))

    @property
    def is_text(self) -> bool:
        """Whether any text is an answer."""
        return self.schema is None

    def load(self, value: Any) -> Any:
        """Checks a JSON value that a model wrote for `schema`.

        Returns:
            The answer as JSON-like data.

        Raises:
            CallError: `invalid_answer`, naming the fields that are wrong.
        """
        if self.schema is None:
            return value
        if self._wrapped and isinstance(value, dict) and set(value) == {_WRAPPER}:
            value = value[_WRAPPER]
        if self._has_maps:
            schema = self.schema["properties"][_WRAPPER] if self._wrapped else self.schema
            value = _maps_from_pairs(value, schema, self.schema.get("$defs", {}))
        return self._validated(value)

    def dump(self, value: Any) -> Any:
        """JSON-like data of a Python value that the user supplied, checked like an answer.

        Raises:
            CallError: `invalid_answer`, if the value does not fit the declared output.
        """
        if self._adapter is None:
            return self._validated(value) if self.schema is not None else str(value)
        try:
            return check_data(self._dumped(self._adapter.validate_python(value)))
        except ValidationError as error:
            raise CallError("invalid_answer", _said(error)) from None

    def rebuild(self, data: Any) -> Any:
        """The typed object that prompt functions see, from the data of a result."""
        if self._adapter is None:
            return data
        return self._adapter.validate_json(json.dumps(data), by_alias=True, by_name=True)

    def _validated(self, value: Any) -> Any:
        if self._adapter is None:
            errors = sorted(self._validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
            if errors:
                raise CallError("invalid_answer", "; ".join(_where(e.absolute_path) + e.message for e in errors[:_SHOWN_ERRORS]))
            return check_data(value)
        try:
            return check_data(self._dumped(self._adapter.validate_json(json.dumps(value))))
        except ValidationError as error:
            raise CallError("invalid_answer", _said(error)) from None

    def _dumped(self, value: Any) -> Any:
        assert self._adapter is not None
        return self._adapter.dump_python(value, mode="json", by_alias=False)

    def _from_json_schema(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        schema = dict(declared)
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise GraphError(f"the output is no valid JSON schema: {_where(error.absolute_path)}{error.message}") from None
        self._validator = jsonschema.Draft202012Validator(schema)
        self.data_schema = schema
        return schema

    def _from_type(self, declared: Any) -> dict[str, Any]:
        try:
            self._adapter = TypeAdapter(declared)
            self.data_schema = self._adapter.json_schema(mode="serialization", by_alias=False)
            return self._adapter.json_schema(mode="validation")
        except (PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise GraphError(
                f"an output is a pydantic class, an Enum, a Literal, a JSON schema or str, not {declared!r}: {reason}"
            ) from None


def _object_root(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """`schema` with an object at its root, and whether it had to be wrapped in one for that: APIs ask for it."""
    definitions = schema.get("$defs", {})
    root = dict(schema)
    reference = root.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        root = {**definitions[reference.removeprefix("#/$defs/")], "$defs": definitions}
    if root.get("type") == "object":
        return root, False
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    wrapped: dict[str, Any] = {"type": "object", "properties": {_WRAPPER: inner}, "required": [_WRAPPER]}
    return ({**wrapped, "$defs": definitions} if definitions else wrapped), True


def _is_map(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object" and not schema.get("properties") and bool(schema.get("additionalProperties"))


def _has_maps(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        return _is_map(schema) or any(_has_maps(value) for value in schema.values())
    return isinstance(schema, list) and any(_has_maps(value) for value in schema)


def _maps_from_pairs(value: Any, schema: Any, definitions: Mapping[str, Any]) -> Any:
    """`value` with every list of {key, value} pairs that stands where `schema` has a map turned into that map.

    Some APIs have no maps in their dialect and are asked for pairs instead.
    """
    if not isinstance(schema, Mapping):
        return value
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _maps_from_pairs(value, definitions.get(reference.removeprefix("#/$defs/")), definitions)
    for branch in (b for keyword in ("anyOf", "oneOf", "allOf") for b in schema.get(keyword, ())):
        value = _maps_from_pairs(value, branch, definitions)
    if _is_map(schema):
        if isinstance(value, list) and all(isinstance(pair, dict) and set(pair) == _PAIR for pair in value):
            value = _map_of(value)
        inner = schema["additionalProperties"]
        return {k: _maps_from_pairs(v, inner, definitions) for k, v in value.items()} if isinstance(value, dict) else value
    if isinstance(value, dict) and "properties" in schema:
        properties = schema["properties"]
        return {k: _maps_from_pairs(v, properties.get(k), definitions) for k, v in value.items()}
    if isinstance(value, list) and "items" in schema:
        return [_maps_from_pairs(element, schema["items"], definitions) for element in value]
    return value


def _map_of(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key = str(pair["key"])
        if key in found and found[key] != pair["value"]:
            raise CallError("invalid_answer", f"the key {key!r} stands twice in a map, with different values")
        found[key] = pair["value"]
    return found


def _where(path: Any) -> str:
    name = ".".join(str(part) for part in path)
    return f"{name}: " if name else ""


def _said(error: ValidationError) -> str:
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    said = "; ".join(_where(e["loc"]) + e["msg"] for e in errors[:_SHOWN_ERRORS])
    more = len(errors) - _SHOWN_ERRORS
    return f"{said}; and {more} more" if more > 0 else said
