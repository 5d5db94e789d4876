"""What Beam works out anew for every step of every pipeline, remembered for the many small pipelines of the tests.

Building a pipeline is most of what a test with one costs. Half of that is Beam making the same command line parsers for
each look at its options, and asking the same DoFns eight times each for their states and timers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import apache_beam.options.pipeline_options as options
import apache_beam.transforms.core as core
import apache_beam.transforms.userstate as userstate

__all__ = ["remember"]


def remember() -> None:
    """From now on, in this process."""
    options.PipelineOptions.__init__ = _init_options  # type: ignore[method-assign]
    userstate.get_dofn_specs = _specs_of_dofn


@cache
def _parser(options_class: type) -> Any:
    parser = options._BeamArgumentParser(allow_abbrev=False)
    for base in options_class.mro():
        if base is options.PipelineOptions:
            break
        if "_add_argparse_args" in base.__dict__:
            base._add_argparse_args(parser)  # type: ignore[attr-defined]
    return parser


def _init_options(self: Any, flags: Sequence[str] | None = None, **overrides: Any) -> None:
    """As `PipelineOptions.__init__`, with one parser per class."""
    logging.basicConfig()
    if isinstance(flags, str):
        raise ValueError("Flags must be an iterable of of strings, not a single string.")
    self._flags = flags
    self._visible_options, _ = _parser(type(self)).parse_known_args(flags)
    self._all_options = overrides
    for name in self._visible_option_list():
        self._all_options.setdefault(name, getattr(self._visible_options, name))


_get_dofn_specs = userstate.get_dofn_specs
_of_classes: dict[type, Any] = {}
_of_dofns: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def _specs_of_dofn(dofn: Any) -> Any:
    """As `get_dofn_specs`; steps around functions are all of one class, and differ."""
    known: Any = _of_dofns if isinstance(dofn, core.CallableWrapperDoFn) else _of_classes
    key = dofn if known is _of_dofns else type(dofn)
    if key not in known:
        known[key] = _get_dofn_specs(dofn)
    return known[key]
