"""Servers of our own, for tests and measurements: Redis and PostgreSQL, on free ports, in temporary folders."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from engines.processes import EngineError, free_ports

__all__ = ["Postgres", "Redis", "new_postgres", "new_redis"]

_UP_SECONDS = 60.0


def _free_port() -> int:
    [port] = free_ports(1)
    return port


def _await_port(port: int, name: str) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{name} has not come up")


@dataclass
class Redis:
    """A redis-server."""

    options: list[str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *, tls: bool = False) -> None:
        port = ["--port", "0", "--tls-port", str(self.port)] if tls else ["--port", str(self.port)]
        self.process = subprocess.Popen([*self.options, *port], stdout=subprocess.DEVNULL)
        _await_port(self.port, "redis-server")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask(self, *words: str) -> str:
        """What redis-cli prints."""
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def new_redis(folder: Path, *options: str) -> Redis:
    """A redis-server that has not been started; `EngineError` where there is none."""
    program = shutil.which("redis-server")
    if program is None or shutil.which("redis-cli") is None:
        raise EngineError("there is no redis-server (with redis-cli) on the PATH")
    return Redis([program, "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options], _free_port())


@dataclass
class Postgres:
    """A PostgreSQL cluster. It refuses to run as root, so it runs as another user there."""

    programs: Path
    folder: Path
    user: str | None
    port: int = field(default_factory=_free_port)
    process: subprocess.Popen[bytes] | None = None
    _databases: itertools.count[int] = field(default_factory=itertools.count)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = ["-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder), "-h", "127.0.0.1"]
        settings = ["-c", "max_connections=200"]  # durable as it is in the field: fsync stays on
        self.process = self._started("postgres", *options, *settings)
        _await_port(self.port, "postgres")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # a fast shutdown
            self.process.wait()

    def kill(self) -> None:
        """Ends the server as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def new_database(self) -> str:
        """The URL of a database that nobody has used."""
        import psycopg

        name = f"t{next(self._databases)}"
        deadline = time.monotonic() + _UP_SECONDS
        while True:
            try:
                with psycopg.connect(self.url(), autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {name}".encode())
                return self.url(name)
            except psycopg.OperationalError:  # it listens, and is still starting up
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def make(self) -> None:
        """Makes the cluster's files."""
        made = self._started("initdb", "-D", str(self.folder / "data"), "-U", "tester", "--auth=trust", "-E", "UTF8")
        assert made.wait() == 0

    def _started(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(self.programs / program), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self.user,
            cwd=self.folder,
            start_new_session=True,
        )


def new_postgres() -> Postgres:
    """A running PostgreSQL; `EngineError` where there is none."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not places or not (places[-1] / "initdb").exists():
        raise EngineError("there is no PostgreSQL (initdb) on the PATH or in /usr/lib/postgresql")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = None
    if os.getuid() == 0:
        known = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in known else "nobody"
        shutil.chown(folder, user)
    server = Postgres(places[-1], folder, user)
    server.make()
    server.start()
    return server
