"""A server under test, and the official client connected to it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as types
import strict
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

TOKEN = "a-token-of-the-tests-0123456789"


class Server:
    """How the server is started: the executable, its options and its whole environment."""

    def __init__(self, executable: Path, home: Path, python: Path | None, *options: str | Path):
        self.executable = executable
        self.options = [str(option) for option in options]
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
        if python is not None:
            self.environment["PROVARA_PYTHON"] = str(python)
        self.log = home / "server.log"

    @property
    def arguments(self) -> list[str]:
        return ["mcp", *self.options]

    def run(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs another command of the executable in the same environment."""
        return subprocess.run(
            [self.executable, *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            **options,
        )

    @contextlib.contextmanager
    def http(self, *options: str, token: str | None = None) -> Iterator[Http]:
        """Runs the server over HTTP on a free port."""
        environment = dict(self.environment)
        if token is not None:
            environment["PROVARA_MCP_TOKEN"] = token
        process = subprocess.Popen(
            [
                self.executable,
                *self.arguments,
                *("--transport", "http", "--listen", "127.0.0.1:0"),
                *options,
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        running = Http(process, token)
        try:
            running.wait()
            yield running
        finally:
            process.kill()
            process.wait(10)
            running.reader.join(10)
            assert process.stderr is not None
            process.stderr.close()


class Http:
    """A running server, and what it says on stderr."""

    def __init__(self, process: subprocess.Popen[str], token: str | None):
        self.process = process
        self.token = token
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.port = 0

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def wait(self) -> None:
        def listening() -> bool:
            for line in self.lines:
                found = re.search(r"listening on http://127\.0\.0\.1:(\d+)/mcp", line)
                if found:
                    self.port = int(found[1])
            return self.port != 0

        until(listening, 10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def alive(self) -> bool:
        return self.process.poll() is None

    def memory(self) -> int:
        """Resident memory in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1])


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits until something holds, while the client goes on."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.02)


class Session(ClientSession):
    """The official client, which holds every list of tools against the rules of the strictest APIs."""

    async def list_tools(self, **arguments: Any) -> types.ListToolsResult:
        result = await super().list_tools(**arguments)
        told = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        strict.check(told["tools"], result.next_cursor)
        return result


class Heard:
    """What the server told without being asked."""

    def __init__(self) -> None:
        self.notifications: list[Any] = []
        self.messages: list[Any] = []

    async def take(self, message: Any) -> None:
        self.notifications.append(message)

    async def log(self, params: types.LoggingMessageNotificationParams) -> None:
        self.messages.append(params)

    def methods(self) -> list[str]:
        return [getattr(message, "method", "") for message in self.notifications]


@contextlib.asynccontextmanager
async def over_stdio(server: Server, heard: Heard | None = None) -> AsyncIterator[ClientSession]:
    """The official client, over stdio."""
    heard = heard or Heard()
    parameters = StdioServerParameters(
        command=str(server.executable), args=server.arguments, env=server.environment
    )
    with server.log.open("a") as log:
        async with stdio_client(parameters, errlog=log) as (read, write):
            async with Session(
                read, write, message_handler=heard.take, logging_callback=heard.log
            ) as session:
                await session.initialize()
                yield session


@contextlib.asynccontextmanager
async def over_http(running: Http, heard: Heard | None = None) -> AsyncIterator[ClientSession]:
    """The official client, over HTTP."""
    heard = heard or Heard()
    headers = {"Authorization": f"Bearer {running.token}"} if running.token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with streamable_http_client(running.url, http_client=http) as (read, write, *_):
            async with Session(
                read, write, message_handler=heard.take, logging_callback=heard.log
            ) as session:
                await session.initialize()
                yield session


@contextlib.asynccontextmanager
async def connected(
    server: Server, transport: str, heard: Heard | None = None
) -> AsyncIterator[ClientSession]:
    """The official client over the given transport, to a server of its own."""
    if transport == "stdio":
        async with over_stdio(server, heard) as session:
            yield session
    else:
        with server.http() as running:
            async with over_http(running, heard) as session:
                yield session


def text(result: Any) -> str:
    """The text of a result."""
    content: Any = result.content[0]
    return str(content.text)
