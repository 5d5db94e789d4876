"""Writes a schema in normal form down in a dialect, with a note on each change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from beam_llmdag.outputs.dialect.hints import hint
from beam_llmdag.outputs.dialect.merge import InexpressibleError
from beam_llmdag.outputs.dialect.normal_form import Schema, child_path
from beam_llmdag.outputs.dialect.patterns import is_safe

__all__ = ["Dialect", "written"]

_MAP_TEXT = "a map, written as a list of key/value pairs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one API's structured output understands.

    Attributes:
        keywords: keywords that are sent; all others become words in the description.
        formats: values of `format` that are sent.
        enum_types: types whose fixed values are sent; None for all.
        bounded_types: types whose `minimum` and `maximum` are sent; None for all.
        recursion: a definition may refer to itself.
        inline: references are replaced by what they refer to; otherwise `$defs` are sent.
        maps: an object with free keys can be asked for; otherwise it is a list of key/value pairs on the wire.
        closed: every object says `additionalProperties: false`.
        all_required: every property has to be listed in `required`.
        small_min_items: `minItems` is sent where it is 0 or 1.
        ordering: the order of fields is stated once more as `propertyOrdering`.
        longest_text: characters to which a text without a limit is bound; None for no bound.
        longest_list: entries to which a list without a limit is bound; None for no bound.
    """

    keywords: frozenset[str]
    formats: frozenset[str]
    enum_types: frozenset[str] | None = None
    bounded_types: frozenset[str] | None = None
    recursion: bool = False
    inline: bool = False
    maps: bool = False
    closed: bool = False
    all_required: bool = False
    small_min_items: bool = False
    ordering: bool = False
    longest_text: int | None = None
    longest_list: int | None = None


def written(form: Schema, dialect: Dialect) -> tuple[Schema, list[str]]:
    """`form` (see `normal_form`) in `dialect`, and notes on what changed.

    Raises:
        InexpressibleError: the dialect has no words for a part of it.
    """
    writer = _Writer(form, dialect)
    schema = writer.node({key: value for key, value in form.items() if key != "$defs"}, "")
    if writer.defs:
        order = [name for name in form["$defs"] if name in writer.defs]
        schema = {"$defs": {name: writer.defs[name] for name in order}, **schema}
    return schema, writer.all_notes()


class _Writer:
    def __init__(self, form: Schema, dialect: Dialect) -> None:
        self.form = form
        self.dialect = dialect
        self.defs: dict[str, Schema] = {}
        self.notes: list[str] = []
        self.bounded_texts: list[str] = []
        self.bounded_lists: list[str] = []
        self.above: list[str] = []

    def all_notes(self) -> list[str]:
        """The notes, those on bounds gathered to one line each."""
        bounds = (
            (self.bounded_texts, f"at most {self.dialect.longest_text} characters, so that the model ends"),
            (self.bounded_lists, f"at most {self.dialect.longest_list} entries, so that the model ends"),
        )
        return self.notes + [f"{', '.join(dict.fromkeys(paths))}: {what}" for paths, what in bounds if paths]

    def note(self, path: str, text: str) -> None:
        self.notes.append(f"{path or 'the answer'}: {text}")

    def node(self, node: Schema, path: str) -> Schema:
        """One node in the dialect."""
        if "$ref" in node:
            return self._reference(node["$ref"], path)
        if "anyOf" in node:
            choices = [self.node(choice, path) for choice in node["anyOf"]]
            return self._described({**node, "anyOf": choices}, path)
        match node.get("type"):
            case None:
                raise InexpressibleError(path, "may be anything")
            case "object":
                return self._object(node, path)
            case "array":
                return self._array(node, path)
            case _:
                return self._scalar(node, path)

    def _reference(self, ref: str, path: str) -> Schema:
        name = ref.removeprefix("#/$defs/")
        if ref == "#" or name in self.above:
            if not self.dialect.recursion:
                raise InexpressibleError(path, "refers back to what it is a part of")
            return {"$ref": ref}
        if not self.dialect.inline and name in self.defs:
            return {"$ref": ref}
        self.above.append(name)
        target = self.node(self.form["$defs"][name], path if self.dialect.inline else name)
        self.above.pop()
        if self.dialect.inline:
            return target
        self.defs[name] = target
        return {"$ref": ref}

    def _object(self, node: Schema, path: str) -> Schema:
        extra = node.get("additionalProperties")
        patterns = node.get("patternProperties", {})
        if not node.get("properties") and (isinstance(extra, dict) or patterns):
            return self._map(node, path)
        if "properties" not in node and extra is not False:
            raise InexpressibleError(path, "may have any fields")
        if extra:
            self.note(path, "fields beyond the declared ones are not asked for")
        fields = node.get("properties", {})
        changed = {key: value for key, value in node.items() if key != "additionalProperties"}
        changed["properties"] = {name: self.node(sub, child_path(path, name)) for name, sub in fields.items()}
        if self.dialect.all_required:
            self._require_all(changed, path)
        if self.dialect.closed or extra is False:
            changed["additionalProperties"] = False
        schema = self._described(changed, path)
        return {**schema, "propertyOrdering": list(fields)} if self.dialect.ordering and fields else schema

    def _require_all(self, node: Schema, path: str) -> None:
        """Lists every field as required; the answer is still accepted without those that may be left out."""
        fields = list(node["properties"])
        optional = [child_path(path, name) for name in fields if name not in node.get("required", ())]
        if optional:
            self.notes.append(f"{', '.join(optional)}: always asked for, though optional")
        if fields:
            node["required"] = fields

    def _map(self, node: Schema, path: str) -> Schema:
        key, value = self._map_parts(node, path)
        rest = {k: v for k, v in node.items() if k not in ("additionalProperties", "patternProperties", "properties")}
        if self.dialect.maps:
            key = self.form["$defs"][key["$ref"].removeprefix("#/$defs/")] if "$ref" in key else key
            said = [hint(k, v) for k, v in key.items() if k not in ("type", "title", "description")]
            rest = {k: v for k, v in rest.items() if k != "propertyNames"} | ({"keys": "; ".join(said)} if said else {})
            return self._described({**rest, "additionalProperties": self.node(value, f"{path}[]")}, path)
        self.note(path, "a map is asked for as a list of key/value pairs")
        pair = {"type": "object", "properties": {"key": key, "value": value}, "required": ["key", "value"]}
        text = f"{rest['description']} ({_MAP_TEXT})" if "description" in rest else _MAP_TEXT
        renamed = {"minProperties": "minItems", "maxProperties": "maxItems"}
        sizes = {renamed[k]: v for k, v in rest.items() if k in renamed}
        rest = {k: v for k, v in rest.items() if k not in renamed and k != "propertyNames"}
        return self._array({**rest, "type": "array", "description": text, **sizes, "items": pair}, path)

    def _map_parts(self, node: Schema, path: str) -> tuple[Schema, Schema]:
        """The schemas of a map's keys and values."""
        patterns = node.get("patternProperties", {})
        key: Schema = node.get("propertyNames", {"type": "string"})
        if not patterns:
            return key, node["additionalProperties"]
        if len(patterns) > 1 or isinstance(node.get("additionalProperties"), dict):
            raise InexpressibleError(path, "has values that depend on the pattern of their keys")
        ((pattern, value),) = patterns.items()
        return {**key, "pattern": pattern}, value

    def _array(self, node: Schema, path: str) -> Schema:
        if "prefixItems" in node and "prefixItems" not in self.dialect.keywords:
            node = self._tuple_as_list(node, path)
        if "items" not in node and "prefixItems" not in node:
            raise InexpressibleError(path, "may hold anything")
        changed = dict(node)
        if "items" in node:
            changed["items"] = self.node(node["items"], f"{path}[]") if node["items"] is not False else False
        if "prefixItems" in node:
            changed["prefixItems"] = [self.node(sub, f"{path}[{i}]") for i, sub in enumerate(node["prefixItems"])]
        longest = self.dialect.longest_list
        if longest is not None and "maxItems" not in node:
            changed["maxItems"] = max(longest, node.get("minItems", 0))
            self.bounded_lists.append(path)
        return self._described(changed, path)

    def _tuple_as_list(self, node: Schema, path: str) -> Schema:
        entries = [*node["prefixItems"], *([node["items"]] if isinstance(node.get("items"), dict) else [])]
        kinds = [entry for i, entry in enumerate(entries) if entry not in entries[:i]]
        order = ", ".join(str(entry.get("type", "other")) for entry in node["prefixItems"])
        self.note(path, f"a tuple is asked for as a list; its order ({order}) is said in the description")
        text = f"in this order: {order}"
        description = f"{node['description']} ({text})" if "description" in node else text
        rest = {key: value for key, value in node.items() if key != "prefixItems"}
        return {**rest, "description": description, "items": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}

    def _scalar(self, node: Schema, path: str) -> Schema:
        longest = self.dialect.longest_text
        bound = {"maxLength", "enum", "const", "format", "pattern"}
        if longest is not None and node["type"] == "string" and not bound & node.keys():
            node = {**node, "maxLength": max(longest, node.get("minLength", 0))}
            self.bounded_texts.append(path)
        if "const" in node and "const" not in self.dialect.keywords:
            node = {("enum" if key == "const" else key): [v] if key == "const" else v for key, v in node.items()}
        return self._described(node, path)

    def _described(self, node: Schema, path: str) -> Schema:
        """`node` with the keywords that the dialect does not know turned into words of its description."""
        kept = {key: value for key, value in node.items() if self._is_sent(key, value, node)}
        moved = [hint(key, value) for key, value in node.items() if key not in kept and not _says_nothing(key, value)]
        if not moved:
            return kept
        text = "; ".join(moved)
        self.note(path, f"not enforced by the API, said in the description: {text}")
        if "pattern" in self.dialect.keywords and "pattern" in node.keys() - kept.keys():
            self.note(path, "the pattern is not sent, since not every API can decode by it; it is checked here")
        kept["description"] = f"{kept['description']} ({text})" if "description" in kept else text
        return kept

    def _is_sent(self, key: str, value: Any, node: Schema) -> bool:
        if key == "minItems" and self.dialect.small_min_items:
            return value in (0, 1)
        if key == "format":
            return value in self.dialect.formats
        if key not in self.dialect.keywords:
            return False
        if key == "pattern":
            return is_safe(value)
        if key in ("enum", "const") and self.dialect.enum_types is not None:
            return node.get("type") in self.dialect.enum_types
        if key in ("minimum", "maximum") and self.dialect.bounded_types is not None:
            return node.get("type") in self.dialect.bounded_types
        return True


def _says_nothing(key: str, value: Any) -> bool:
    """Whether losing the keyword loses nothing: the value may be null already, and a missing one counts as null."""
    return key == "default" and value is None
