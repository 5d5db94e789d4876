"""Every kind of answer store, for the tests that all of them must pass: a file, PostgreSQL and Redis."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from helpers.servers import Postgres, Redis, new_postgres, new_redis

KINDS = ("sqlite", "postgres", "redis")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = new_postgres()
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = new_redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def new_place(request: pytest.FixtureRequest, tmp_path) -> Callable[[str], str]:
    """Gives the place of an empty store of a kind."""

    def place(kind: str) -> str:
        if kind == "postgres":
            url: str = request.getfixturevalue("postgres").new_database()
            return url
        if kind == "redis":
            server = request.getfixturevalue("redis_server")
            server.ask("FLUSHALL")
            return str(server.url)
        return str(tmp_path / "folder" / "answers.sqlite")

    return place


@pytest.fixture(params=[pytest.param(kind, marks=() if kind == "sqlite" else pytest.mark.processes) for kind in KINDS])
def place(request: pytest.FixtureRequest, new_place: Callable[[str], str]) -> str:
    """The place of an empty store, of each kind in turn."""
    return new_place(request.param)
