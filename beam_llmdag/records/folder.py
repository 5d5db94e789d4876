"""What a path names: a file, files that match a pattern, or a folder that another tool has written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import unquote

from beam_llmdag.errors import InputError
from beam_llmdag.records.file_system import FileSystem
from beam_llmdag.records.unpacked import PACKINGS

__all__ = ["Files", "InputFormat", "files_of", "format_of"]

InputFormat = Literal["jsonl", "json", "csv", "parquet", "arrow"]

_ENDINGS: dict[str, InputFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")
_WILDCARDS = "*?[{"
_HIDDEN = ("_", ".")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


class Files(NamedTuple):
    """Files of one format.

    Attributes:
        pattern: what matches them.
        file_format: what they are.
        base: the folder that names of files leave out.
        integers: names of `name=value` folders whose values are all integers.
        in_folder: whether `pattern` stands for whatever is in a folder, so that some of it may be left out.
    """

    pattern: str
    file_format: InputFormat
    base: str
    integers: frozenset[str] = frozenset()
    in_folder: bool = False

    def name(self, path: str) -> str:
        """What a file is called in messages."""
        return path.removeprefix(self.base)

    def has(self, path: str) -> bool:
        """Whether a file that matches holds records: in a folder, the marks and checksums of other tools do not."""
        if not self.in_folder:
            return True
        ending = _ending(path)
        return not _is_hidden(self.name(path)) and (ending == "" or _ENDINGS.get(ending) == self.file_format)

    def partition(self, path: str) -> dict[str, Any]:
        """The fields that the folders of a file stand for: `year=2025/` is `{"year": 2025}`."""
        return {
            name: int(value) if value is not None and name in self.integers and _INTEGER.fullmatch(value) else value
            for name, value in _partition(self.name(path)).items()
        }


def format_of(pattern: str, given: str | None) -> InputFormat | None:
    """The format that is given, or that the ending of a pattern says; None if neither does.

    Raises:
        InputError: the given one is none.
    """
    if given is None:
        return _format_of_name(pattern)
    for known in get_args(InputFormat):
        if given == known:
            found: InputFormat = known
            return found
    raise InputError(f"{pattern}: {given} says no known format; pass file_format= as one of {_formats()}")


def files_of(pattern: str, given: str | None, place: FileSystem) -> Files:
    """What a pattern matches. It is looked for here, where the pipeline is built: a wrong path fails now, not later.

    Args:
        pattern: path of a file or of a folder, or a glob pattern.
        given: the format; None for what the ending says, of the pattern or of the files in a folder.
        place: where it is looked for.

    Raises:
        InputError: nothing matches; or the format is not known, or is not one.
    """
    file_format = format_of(pattern, given)
    folder = pattern.rstrip("/" + os.sep)
    has_wildcard = any(sign in pattern for sign in _WILDCARDS)
    inside = [] if has_wildcard else place.paths(f"{folder}/**")
    if inside:
        return _in_folder(folder, inside, file_format)
    if pattern.lower().endswith(_ARCHIVES):
        raise InputError(f"{pattern}: an archive, which may hold several files; unpack it first")
    if file_format is None:
        raise InputError(f"{pattern}: its ending says no known format; pass file_format= as one of {_formats()}")
    found = place.paths(pattern)
    if not found:
        raise InputError(f"{pattern}: no file matches")
    files = Files(pattern, file_format, _base(pattern))
    return files._replace(integers=_integers(_partition(files.name(path)) for path in found))


def _in_folder(folder: str, paths: list[str], file_format: InputFormat | None) -> Files:
    base = f"{folder}/"
    shown = {path: path.removeprefix(base) for path in paths}
    visible = [path for path in paths if not _is_hidden(shown[path])]
    kinds = sorted({kind for path in visible if (kind := _format_of_name(path)) is not None})
    if file_format is None and len(kinds) != 1:
        held = f"of several formats ({', '.join(kinds)})" if kinds else "whose endings say no known format"
        raise InputError(f"{folder}: a folder with files {held}; pass file_format= as one of {_formats()}")
    files = Files(f"{base}**", file_format or _format_named(kinds[0]), base, in_folder=True)
    found = [path for path in visible if files.has(path)]
    if not found:
        raise InputError(f"{folder}: a folder without a {files.file_format} file; pass file_format=, or a pattern")
    return files._replace(integers=_integers(_partition(shown[path]) for path in found))


def _format_named(name: str) -> InputFormat:
    return next(kind for kind in _ENDINGS.values() if kind == name)


def _format_of_name(path: str) -> InputFormat | None:
    return _ENDINGS.get(_ending(path))


def _ending(path: str) -> str:
    """The ending of a file's name, but for what says that it is packed."""
    name = path.lower().rstrip("/" + os.sep)
    for ending in PACKINGS:
        name = name.removesuffix(ending)
    return os.path.splitext(name)[1]


def _formats() -> str:
    return ", ".join(map(repr, get_args(InputFormat)))


def _base(pattern: str) -> str:
    """The folder of a pattern."""
    literal = pattern[: min((pattern.index(sign) for sign in _WILDCARDS if sign in pattern), default=len(pattern))]
    return literal[: max(literal.rfind("/"), literal.rfind(os.sep)) + 1]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(_HIDDEN) and "=" not in part for part in name.split("/")) or name.endswith(".crc")


def _partition(name: str) -> Mapping[str, str | None]:
    found: dict[str, str | None] = {}
    for part in name.split("/")[:-1]:
        key, sign, value = part.partition("=")
        if key and sign:
            found[unquote(key)] = None if value == _NO_VALUE else unquote(value)
    return found


def _integers(partitions: Iterable[Mapping[str, str | None]]) -> frozenset[str]:
    """Names of which every value is an integer as one writes it: `007` is a text."""
    seen: dict[str, bool] = {}
    for partition in partitions:
        for name, value in partition.items():
            seen[name] = seen.get(name, True) and (value is None or bool(_INTEGER.fullmatch(value)))
    return frozenset(name for name, integer in seen.items() if integer)
