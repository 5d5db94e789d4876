"""A JSON schema in normal form: the many ways to say one thing become one, before a dialect is written from it.

In normal form every node is one of

* `{"$ref": "#/$defs/<name>"}` (or `"#"`), alone,
* `{"anyOf": [...]}` with annotations,
* `{"type": <one name>, ...}` with keywords of that type and annotations,
* `{}` with annotations: anything goes.

`oneOf`, `allOf`, lists of types, boolean schemas, mixed enums, references with siblings and references to anything else
than a definition are gone. The order of keys is that of the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

from beam_llmdag.outputs.dialect.merge import ANNOTATIONS, InexpressibleError, merged

__all__ = ["Schema", "child_path", "normal_form", "resolved"]

Schema = dict[str, Any]

_TYPE_OF_KEYWORD: Mapping[str, str] = {
    **dict.fromkeys(("properties", "required", "additionalProperties", "patternProperties", "propertyNames"), "object"),
    **dict.fromkeys(("minProperties", "maxProperties", "dependentRequired"), "object"),
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"), "array"),
    **dict.fromkeys(("minLength", "maxLength", "pattern", "format", "contentMediaType"), "string"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
}
_NOT_SCHEMAS = ("enum", "const", "default", "examples", "required")
_ABOUT_THE_FILE = ("$schema", "$id", "$comment", "$defs", "definitions")  # say nothing about the answer


def normal_form(canonical: Mapping[str, Any]) -> tuple[Schema, list[str]]:
    """`canonical` in normal form, and notes on what a reader would not recognise.

    Raises:
        InexpressibleError: the root is no object, or a construct has no normal form.
    """
    normaliser = _Normaliser(dict(canonical))
    root = dict(canonical)
    followed: set[str] = set()
    while "$ref" in root:  # the root of a recursive pydantic model is a bare reference
        if root["$ref"] in followed:
            raise InexpressibleError("", f"refers to itself, {root['$ref']!r}, and to nothing else")
        followed.add(root["$ref"])
        siblings = {key: value for key, value in root.items() if key not in ("$ref", *_ABOUT_THE_FILE)}
        root = merged(resolved(canonical, root["$ref"], ""), siblings, "")
    form = normaliser.node(root, "")
    if form.get("type") != "object":
        raise InexpressibleError("", "the answer as a whole has to be an object")
    order = [*canonical.get("$defs", {}), *canonical.get("definitions", {})]
    defs = {name: normaliser.defs[name] for name in order if name in normaliser.defs}
    return ({"$defs": defs, **form} if defs else form), normaliser.notes


def resolved(root: Mapping[str, Any], ref: str, path: str) -> Schema:
    """The sub-schema of `root` that the JSON pointer `ref` names.

    Raises:
        InexpressibleError: it points outside, or nowhere.
    """
    if not ref.startswith("#"):
        raise InexpressibleError(path, f"refers to another document, {ref!r}")
    target: Any = root
    for part in ref.removeprefix("#").split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, Mapping) and part in target:
            target = target[part]
        elif isinstance(target, list) and part.isdigit() and int(part) < len(target):
            target = target[int(part)]
        else:
            raise InexpressibleError(path, f"refers to {ref!r}, which does not exist")
    return {} if target is True else dict(target)


def child_path(path: str, name: str) -> str:
    """How a note names the field `name` of the object at `path`."""
    return f"{path}.{name}" if path else name


def _references(schema: Any) -> Iterator[str]:
    """Every `$ref` in `schema`, values that only look like schemas left out."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for key, value in schema.items():
            if key not in (*_NOT_SCHEMAS, "$defs", "definitions"):
                yield from _references(value)
    elif isinstance(schema, list):
        for entry in schema:
            yield from _references(entry)


class _Normaliser:
    """Normalises the nodes of one document and collects the definitions that they use."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.defs: dict[str, Schema] = {}
        self.notes: list[str] = []

    def node(self, schema: Any, path: str) -> Schema:
        """One sub-schema in normal form; `path` names it in notes and errors."""
        if schema is True:
            return {}
        if not isinstance(schema, Mapping):
            raise InexpressibleError(path, f"{schema!r} is no schema that an answer could fit")
        schema = {key: value for key, value in schema.items() if key not in _ABOUT_THE_FILE}
        if "$ref" in schema:
            return self._reference(schema, path)
        if "allOf" in schema:
            return self._all_of(schema, path)
        if "oneOf" in schema or "anyOf" in schema:
            return self._any_of(schema, path)
        if isinstance(schema.get("type"), list):
            return self._types(schema, path)
        if "enum" in schema or "const" in schema:
            return self._values(schema, path)
        return self._one_type(schema, path)

    def _reference(self, schema: Schema, path: str) -> Schema:
        ref = schema["$ref"]
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        recursive = self._is_recursive(ref, path)
        if siblings and not recursive:
            return self.node(merged(resolved(self.root, ref, path), siblings, path), path)
        if siblings.keys() - ANNOTATIONS:
            raise InexpressibleError(path, "a recursive reference with keywords of its own")
        target = self._definition(ref, recursive, path)
        return {"anyOf": [target], **siblings} if siblings else target

    def _definition(self, ref: str, recursive: bool, path: str) -> Schema:
        if ref == "#":
            return {"$ref": "#"}
        prefix, _, name = ref.rpartition("/")
        if prefix not in ("#/$defs", "#/definitions"):
            if recursive:
                raise InexpressibleError(path, f"a recursive reference to {ref!r}, which is not in $defs")
            return self.node(resolved(self.root, ref, path), path)
        name = name.replace("~1", "/").replace("~0", "~")
        if name not in self.defs:
            self.defs[name] = {}  # found by a definition that refers to itself
            self.defs[name] = self.node(resolved(self.root, ref, path), name)
        return {"$ref": f"#/$defs/{name}"}

    def _is_recursive(self, ref: str, path: str) -> bool:
        """Whether following `ref` leads back to `ref`: used twice is not recursive."""
        seen: set[str] = set()
        ahead = [ref]
        while ahead:
            for found in _references(resolved(self.root, ahead.pop(), path)):
                if found == ref:
                    return True
                if found not in seen:
                    seen.add(found)
                    ahead.append(found)
        return False

    def _all_of(self, schema: Schema, path: str) -> Schema:
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        parts = [part for part in schema["allOf"] if part is not True]
        if len(parts) == 1 and "$ref" in parts[0] and not rest.keys() - ANNOTATIONS:
            return self.node({**parts[0], **rest}, path)
        return self.node(reduce(lambda one, other: merged(one, other, path), self._open([*parts, rest], path)), path)

    def _open(self, parts: list[Any], path: str) -> list[Schema]:
        """The parts with references replaced by what they refer to."""
        opened: list[Schema] = []
        for part in parts:
            if not isinstance(part, Mapping):
                raise InexpressibleError(path, f"{part!r} is no schema that an answer could fit")
            while "$ref" in part:
                if self._is_recursive(part["$ref"], path):
                    raise InexpressibleError(path, "a recursive reference inside of a combination")
                siblings = {key: value for key, value in part.items() if key != "$ref"}
                part = merged(resolved(self.root, part["$ref"], path), siblings, path)
            opened.append(dict(part))
        return opened

    def _any_of(self, schema: Schema, path: str) -> Schema:
        if "oneOf" in schema and "anyOf" in schema:
            raise InexpressibleError(path, "oneOf and anyOf in one place")
        word = "oneOf" if "oneOf" in schema else "anyOf"
        if word == "oneOf":
            self.notes.append(f"{path or 'the answer'}: 'one of' is asked for as 'any of'")
        annotations = {key: value for key, value in schema.items() if key in ANNOTATIONS}
        rest = {key: value for key, value in schema.items() if key not in (word, "discriminator", *annotations)}
        branches = [branch for branch in schema[word] if branch is not False]
        if rest:
            branches = [merged(rest, branch, path) for branch in self._open(branches, path)]
        choices = [self.node(branch, path) for branch in branches]
        if len(choices) == 1 and "$ref" not in choices[0]:
            return {**choices[0], **annotations}
        return {"anyOf": choices, **annotations}

    def _types(self, schema: Schema, path: str) -> Schema:
        names = schema["type"]
        annotations = {key: value for key, value in schema.items() if key in ANNOTATIONS}
        rest = {key: value for key, value in schema.items() if key not in annotations}
        choices = []
        for name in names:
            fits = {k: v for k, v in rest.items() if _TYPE_OF_KEYWORD.get(k, name) in (name, _wider(name))}
            if "enum" in fits:
                fits["enum"] = [value for value in fits["enum"] if _type_of(value, path) in (name, _narrower(name))]
            if fits.get("enum") != []:
                choices.append(self.node({**fits, "type": name}, path))
        return {**choices[0], **annotations} if len(choices) == 1 else {"anyOf": choices, **annotations}

    def _values(self, schema: Schema, path: str) -> Schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        by_type: dict[str, list[Any]] = {}
        for value in values:
            by_type.setdefault(_type_of(value, path), []).append(value)
        if set(by_type) == {"integer", "number"}:
            by_type = {"number": list(values)}
        if len(by_type) > 1:
            annotations = {key: value for key, value in schema.items() if key in ANNOTATIONS}
            rest = {k: v for k, v in schema.items() if k not in (*annotations, "enum", "const", "type")}
            choices = [self._values({**rest, "enum": some}, path) for some in by_type.values()]
            return {"anyOf": choices, **annotations}
        (name,) = by_type
        if name == "null" or (name == "boolean" and len(set(values)) == 2):
            return {**{k: v for k, v in schema.items() if k not in ("enum", "const", "type")}, "type": name}
        return {**schema, "type": name}

    def _one_type(self, schema: Schema, path: str) -> Schema:
        names = {_TYPE_OF_KEYWORD[key] for key in schema if key in _TYPE_OF_KEYWORD}
        if "type" not in schema and len(names) > 1:
            raise InexpressibleError(path, "keywords of several types, but no type")
        form: Schema = {}
        for key, value in schema.items():
            if key in ("properties", "patternProperties"):
                form[key] = {name: self.node(sub, child_path(path, name)) for name, sub in value.items()}
            elif key == "items" or (key in ("additionalProperties", "contains") and isinstance(value, Mapping)):
                form[key] = self.node(value, f"{path}[]")
            elif key == "prefixItems":
                form[key] = [self.node(sub, f"{path}[{i}]") for i, sub in enumerate(value)]
            elif key == "propertyNames":
                form[key] = self.node({"type": "string", **value} if "$ref" not in value else value, path)
            else:
                form[key] = value
        if "type" not in form and names:
            form["type"] = names.pop()
        return form


def _wider(name: str) -> str:
    return "number" if name == "integer" else name


def _narrower(name: str) -> str:
    return "integer" if name == "number" else name


def _type_of(value: Any, path: str) -> str:
    """The JSON type of a value in an enum."""
    for name, kind in (("null", type(None)), ("boolean", bool), ("integer", int), ("number", float), ("string", str)):
        if isinstance(value, kind):
            return name
    raise InexpressibleError(path, f"a fixed value that is a list or an object: {value!r}")
