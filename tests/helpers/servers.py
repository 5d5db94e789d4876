"""The servers of `engines.servers` for tests, which are skipped where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines import servers
from engines.processes import EngineError
from engines.servers import Postgres, Redis

__all__ = ["Postgres", "Redis", "new_postgres", "new_redis"]


def new_redis(folder: Path, *options: str) -> Redis:
    """See `engines.servers`."""
    try:
        return servers.new_redis(folder, *options)
    except EngineError as missing:
        pytest.skip(str(missing))


def new_postgres() -> Postgres:
    """See `engines.servers`."""
    try:
        return servers.new_postgres()
    except EngineError as missing:
        pytest.skip(str(missing))
