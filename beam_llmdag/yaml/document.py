"""A YAML text as plain data that knows on which line everything stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from beam_llmdag.errors import GraphError

__all__ = ["Document", "Path", "parse_yaml"]

Path = tuple[str | int, ...]
"""Where a value is: the keys and indices that lead to it."""

_TAG = "tag:yaml.org,2002:"

_MOST_NODES = 50_000  # an alias counts as often as it is used: nine lines of them make millions
_MOST_DEEP = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What stands in a YAML file.

    Attributes:
        file: its name, for errors.
        value: the data.
        lines: path of a value -> the line of its key, or of the value where there is no key; counted from 1.
        first_lines: path of a text -> the line on which its own first line stands.
    """

    file: str
    value: Any
    lines: dict[Path, int] = field(default_factory=dict)
    first_lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def known(self, location: Sequence[str | int]) -> Path:
        """The path in this document that an error's location means; what is no part of the document is left out."""
        path: Path = ()
        for part in location:
            if (*path, part) in self.lines:
                path = (*path, part)
        return path

    def error(self, path: Path, message: str, *, line: int | None = None) -> GraphError:
        """An error that names the file and the line of `path`."""
        return GraphError(f"{self.file}:{self.line(path) if line is None else line}: {message}")


def parse_yaml(text: str, file: str) -> Document:
    """Reads one YAML document, as YAML 1.2 does: `no` and `on` are texts, so are `007`, `12:30` and `2026-01-01`.

    `<<: *name` takes over the keys of another mapping that are not there, as most readers of YAML do.

    Args:
        text: the document.
        file: its name, for errors.

    Raises:
        GraphError: it is no YAML, a key is there twice or is no text, it has tags of its own, is nested too deeply or,
            with its aliases, too large; the message names file and line.
    """
    document = Document(file=file, value={})
    try:
        root = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = " ".join(part for part in (error.context, error.problem) if part)
        raise document.error((), f"no YAML: {told}", line=mark.line + 1 if mark else 1) from None
    except yaml.YAMLError as error:
        raise document.error((), f"no YAML: {error}") from None
    if root is None:
        raise document.error((), "the file is empty")
    value = _Reader(document).read(root, (), ())
    return Document(file=file, value=value, lines=document.lines, first_lines=document.first_lines)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the plain scalars of YAML 1.2 instead of 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Each level of nesting is some calls of Python, whose number has a limit as well."""
        if self._depth > _MOST_DEEP:
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=self.peek_event().start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_MERGE = "<<"
_TOO_DEEP = f"nested too deeply: more than {_MOST_DEEP} levels"

for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), _first)


_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
}


class _Reader:
    """Turns nodes into data and notes their lines."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes = 0

    def read(self, node: yaml.Node, path: Path, around: tuple[yaml.Node, ...]) -> Any:
        """The data of `node`; `around` are the nodes that it is in."""
        document, line = self._document, node.start_mark.line + 1
        document.lines.setdefault(path, line)
        if node in around:
            raise document.error(path, "an alias stands inside of what it names")
        self._count(path)
        if len(path) > _MOST_DEEP:
            raise document.error(path, f"{_TOO_DEEP}, with what aliases name")
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return {key: self.read(value, (*path, key), (*around, node)) for key, value in self._pairs(node, path)}
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.read(value, (*path, index), (*around, node)) for index, value in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
            document.first_lines[path] = line + 1 if node.style in ("|", ">") else line
            return self._scalar(node, kind, path)
        raise document.error(path, f"the tag {node.tag!r} is not known; leave it out", line=line)

    def _count(self, path: Path) -> None:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            told = f"the file is too large: more than {_MOST_NODES} nodes with what its aliases name"
            raise self._document.error(path, told)

    def _scalar(self, node: yaml.ScalarNode, kind: str, path: Path) -> Any:
        try:
            return _SCALARS[kind](node.value)
        except ValueError:
            line = node.start_mark.line + 1
            raise self._document.error(path, f"{node.value!r} is no {kind}", line=line) from None

    def _pairs(
        self, node: yaml.MappingNode, path: Path, inside: tuple[yaml.Node, ...] = ()
    ) -> Iterator[tuple[str, yaml.Node]]:
        """The keys and values of a mapping, and behind them those that `<<` takes over from others."""
        seen: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != f"{_TAG}str":
                shown = f"the key {key}" if isinstance(key, str) else "a key"
                raise self._document.error(path, f"{shown} is no text; put it in quotes", line=line)
            if key in seen:
                raise self._document.error(path, f"the key {key!r} is there twice, see line {seen[key]}", line=line)
            seen[key] = line
            # what stands here comes before what `<<` takes over
            self._document.lines.setdefault((*path, key), line)
            if key_node.style is None and key == _MERGE:
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            else:
                yield key, value
        for other in merged:
            for key, value in self._taken_over(other, path, (*inside, node)):
                if key not in seen:
                    seen[key] = self._document.lines[(*path, key)]
                    yield key, value

    def _taken_over(
        self, other: yaml.Node, path: Path, inside: tuple[yaml.Node, ...]
    ) -> Iterator[tuple[str, yaml.Node]]:
        here = (*path, _MERGE)
        if not isinstance(other, yaml.MappingNode):
            raise self._document.error(here, f"{_MERGE!r} takes over the keys of a mapping, or of a list of them")
        if other in inside:
            raise self._document.error(here, "an alias stands inside of what it names")
        for key, value in self._pairs(other, path, inside):
            self._count(here)
            yield key, value
