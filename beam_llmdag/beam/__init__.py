"""The Beam layer. `llm_dag.py` only wires; what a step does to an element is in the layers below.

Without Google's packages Beam warns of them on the root logger, once, when it is imported: that says nothing about a
pipeline. So Beam's module that does it is imported here first, with an ear closed.
"""

from __future__ import annotations

import logging
from importlib import import_module


def _concerns_us(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("apitools not found")


def _import_beam() -> None:
    root = logging.getLogger()
    root.addFilter(_concerns_us)
    try:
        import_module("apache_beam.io.gcp.internal.clients.bigquery")
    finally:
        root.removeFilter(_concerns_us)


_import_beam()
