"""Python objects named in a dag file."""

from __future__ import annotations

import difflib
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from beam_llmdag.errors import GraphError
from beam_llmdag.telling import told

__all__ = ["import_dotted"]


def import_dotted(path: str) -> Any:
    """The object at a dotted path, for example `"my_package.outputs.Sentiment"`.

    Importing runs the module, as any import does: only what Python can import where the dag is loaded can be named.

    Raises:
        GraphError: there is no such module or name in it, or importing the module raised; the message says which.
    """
    parts = path.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise GraphError(f"{path!r} is no dotted path; write it as 'package.module.Name'")
    length = _module_length(parts)
    if length == 0:
        raise GraphError(
            f"{path!r}: there is no module {parts[0]!r} here; is it installed, or in a folder that Python looks in?"
        )
    module = ".".join(parts[:length])
    found: Any = _imported(module, path)
    for index in range(length, len(parts)):
        if not hasattr(found, parts[index]):
            raise GraphError(
                f"{path!r}: {_what(found, parts[:index])} has no {parts[index]!r}{_nearest(found, parts[index])}"
            )
        found = getattr(found, parts[index])
    return found


def _module_length(parts: list[str]) -> int:
    """How many of the first parts name a module."""
    length = 0
    while length < len(parts) and _is_module(".".join(parts[: length + 1])):
        length += 1
    return length


def _is_module(name: str) -> bool:
    """Whether there is such a module; imports the packages around it."""
    package = name.rpartition(".")[0]
    if package and not hasattr(_imported(package, name), "__path__"):
        return False
    try:
        return find_spec(name) is not None
    except ValueError:  # a module without a spec, as __main__
        return True


def _imported(module: str, path: str) -> ModuleType:
    try:
        return import_module(module)
    except Exception as error:  # the module's own code runs, and may raise anything
        raise GraphError(f"{path!r}: importing {module!r} raised {told(error)}") from error


def _what(found: Any, parts: list[str]) -> str:
    kind = "the module" if isinstance(found, ModuleType) else "the object"
    return f"{kind} {'.'.join(parts)!r}"


def _nearest(found: Any, name: str) -> str:
    close = difflib.get_close_matches(name, [known for known in dir(found) if not known.startswith("_")], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
