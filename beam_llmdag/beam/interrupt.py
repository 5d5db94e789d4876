"""Ctrl-C in the middle of a pipeline: Beam makes a `RuntimeError` of it, and logs and chains a hundred lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["short_interrupt"]

_BEAMS_LOG = logging.getLogger("apache_beam.runners.common")


@contextmanager
def short_interrupt() -> Iterator[None]:
    """Makes a bare `KeyboardInterrupt` of a Ctrl-C inside, whatever a runner made of it.

    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C.
    """
    _BEAMS_LOG.addFilter(_is_no_interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        if _has_interrupt(error):
            raise KeyboardInterrupt from None
        raise
    finally:
        _BEAMS_LOG.removeFilter(_is_no_interrupt)


def _has_interrupt(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not (_has_interrupt(error) or record.getMessage().startswith(KeyboardInterrupt.__name__))
