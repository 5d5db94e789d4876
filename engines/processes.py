"""Programs in the background: started with a log file, found by a mark in their environment, stopped for sure."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

__all__ = ["EngineError", "free_ports", "log_end", "marked", "parent_of", "start", "stop_group", "wait_until"]

_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.1
_SHOWN = 2000


class EngineError(RuntimeError):
    """A part of an engine that did not do what it should. The message names it, and the log that tells more."""


def start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts a program in a process group of its own, so that it can be stopped with all its children.

    Args:
        command: program and arguments.
        log: file that gets what it prints.
        environment: variables on top of this process' own.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )


def stop_group(pid: int) -> None:
    """Stops a program that `start` started, and its children: with SIGTERM, then with SIGKILL."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while _group_lives(pid) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        os.killpg(pid, signal.SIGKILL)
    with suppress(ChildProcessError):  # another process' child
        os.waitpid(pid, 0)


def _group_lives(group: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)  # a child that has ended counts until somebody has asked for it
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float, what: str, log: Path) -> None:
    """Waits for something to happen.

    Args:
        condition: whether it has happened.
        seconds: how long it may take.
        what: is waited for, in words.
        log: file that says why it does not happen.

    Raises:
        EngineError: it did not happen in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise EngineError(f"waited {seconds:g} s for {what}; the end of {log}:\n{log_end(log)}")
        time.sleep(_POLL_SECONDS)


def log_end(log: Path) -> str:
    """The last lines of a log file."""
    return log.read_text(encoding="utf-8", errors="replace")[-_SHOWN:] if log.exists() else "(there is no such file)"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def marked(mark: str, program: str) -> list[int]:
    """Processes of this machine with `mark` (`NAME=value`) in their environment and `program` in their command line."""
    return [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit()
        and mark.encode() in _read(path / "environ").split(b"\0")
        and program.encode() in _read(path / "cmdline")
    ]


def parent_of(pid: int) -> int:
    """The process that started a process."""
    return int(_read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()[1])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or is somebody else's
        return b""
