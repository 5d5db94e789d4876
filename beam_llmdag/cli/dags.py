"""Finding a dag that is named on the command line."""

from __future__ import annotations

import sys
from importlib import import_module

from beam_llmdag.dag import Dag
from beam_llmdag.errors import LLMDagError
from beam_llmdag.yaml.load import load_dag

__all__ = ["dag_at"]


def dag_at(path: str) -> Dag:
    """The dag in a YAML file, or at `module:name`."""
    sys.path.insert(0, "")
    return load_dag(path) if path.endswith((".yaml", ".yml")) else _dag_of(path)


def _dag_of(path: str) -> Dag:
    """The dag at `module:name`."""
    module, colon, name = path.partition(":")
    if not colon:
        raise LLMDagError(f"{path!r}: say where the dag is as module:name, or name a .yaml file")
    try:
        dag = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LLMDagError(f"{path!r}: {error}") from error
    if not isinstance(dag, Dag):
        raise LLMDagError(f"{path!r} is no Dag, but {type(dag).__name__}")
    return dag
