"""Dag files on any file system of Beam."""

from __future__ import annotations

import os
from pathlib import Path

from beam_llmdag.dag import Dag
from beam_llmdag.errors import GraphError
from beam_llmdag.yaml.build import parse_dag

__all__ = ["load_dag"]


def load_dag(path: str | os.PathLike[str]) -> Dag:
    """The dag in a YAML file: the same object that the Python API makes.

    The file can name Python objects (outputs, functions, providers) by dotted path. Naming one imports its module, so a
    dag file is to be trusted as much as Python code that is installed where it is loaded.

    Args:
        path: the file, on any file system of Beam.

    Raises:
        GraphError: the file cannot be read, is no dag, or the dag cannot run; the message names file, line and
            dimension.
    """
    name = os.fspath(path)
    try:
        text = _bytes(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GraphError(f"{name}: the file is no UTF-8 text: {error}") from None
    except Exception as error:  # Beam's file systems raise what their clients raise
        raise GraphError(f"{name}: the file cannot be read: {type(error).__name__}: {error}") from error
    return parse_dag(text, name)


def _bytes(name: str) -> bytes:
    if "://" not in name:
        return Path(name).read_bytes()
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(name) as file:
        content: bytes = file.read()
    return content
