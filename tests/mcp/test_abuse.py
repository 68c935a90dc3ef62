"""What a hostile or broken client may try: each is refused, and the server lives on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import Make
from support_mcp import TOKEN, Http, Server, over_http, until
from test_client import DOOR, call

HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "abuse", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def raw(running: Http, request: bytes, wait: float = 5.0) -> bytes:
    """Sends bytes and gives what comes back until the server is silent or hangs up."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=wait) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request)
        answer = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                answer += chunk
                if b"\r\n\r\n" in answer:
                    break
        return answer


def head(length: int, **headers: str) -> bytes:
    """The head of a request, with these headers beside the usual ones, or in their place."""
    named = {"Host": "localhost", **HEADERS, "Content-Length": str(length)}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in named.items() if value]
    return "\r\n".join(["POST /mcp HTTP/1.1", *lines, "", ""]).encode()


def post(running: Http, body: bytes, **headers: str) -> int:
    """Posts a body with exactly these headers, and gives the status."""
    answer = raw(running, head(len(body), **headers) + body)
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split()[1])


def opened(running: Http) -> str:
    """The id of a new session."""
    body = json.dumps(INITIALIZE).encode()
    answer = raw(running, head(len(body)) + body)
    found = re.search(rb"mcp-session-id: (\S+)", answer)
    assert found, answer
    return found[1].decode()


def logged(running: Http, words: str, times: int = 1) -> None:
    """What the server logs reaches this process a moment later."""
    until(lambda: sum(words in line for line in running.lines) >= times, 10)


def healthy(running: Http) -> None:
    """The server lives and serves a client from beginning to end."""
    assert running.alive()

    async def run() -> None:
        async with over_http(running) as session:
            assert (await call(session, "get_vault_status"))["valid"]

    anyio.run(run)


def test_hosts_and_origins(plain: Make, vault: Path) -> None:
    body = json.dumps(INITIALIZE).encode()
    with plain("--vault", vault).http() as running:
        assert post(running, body) == 200
        assert post(running, body, Host="localhost") == 200
        assert post(running, body, Host=f"[::1]:{running.port}") == 200
        for host in ("evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1", ""):
            assert post(running, body, Host=host) in (400, 403), host
        assert post(running, body, Origin="http://localhost:6274") == 200
        for origin in (
            "https://evil.example",
            "http://localhost.evil.example",
            "null",
            "http://127.0.0.1.evil.example",
            "file://",
        ):
            assert post(running, body, Origin=origin) == 403, origin
        logged(running, "the host 'evil.example' is not served here")
        logged(running, "the origin 'https://evil.example' is not allowed")
        healthy(running)


def test_tokens(plain: Make, vault: Path) -> None:
    body = json.dumps(INITIALIZE).encode()
    with plain("--vault", vault).http(token=TOKEN) as running:
        assert post(running, body, Authorization=f"Bearer {TOKEN}") == 200
        for wrong in ("", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer", TOKEN):
            assert post(running, body, Authorization=wrong) == 401, wrong
        logged(running, "bearer token", 6)
        assert all(TOKEN not in line for line in running.lines)
        healthy(running)


@pytest.mark.parametrize("token", [None, "short"])
def test_off_loopback_needs_a_token(plain: Make, vault: Path, token: str | None) -> None:
    server = plain("--vault", vault)
    if token:
        server.environment["PROVARA_MCP_TOKEN"] = token
    done = server.run("mcp", "--vault", vault, "--transport", "http", "--listen", "0.0.0.0:0")
    assert done.returncode == 2
    assert done.stderr.startswith("ERROR: ") and "PROVARA_MCP_TOKEN" in done.stderr


def test_sessions_are_checked(plain: Make, vault: Path) -> None:
    listing = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    with plain("--vault", vault).http() as running:
        assert post(running, listing, mcp_session_id="no-such-session") == 404
        assert post(running, listing, mcp_session_id="../../x") in (400, 404)
        # The wrong order: a request of an older revision before there is a session.
        assert post(running, listing) >= 400
        healthy(running)


def test_malformed_requests(plain: Make, vault: Path) -> None:
    with plain("--vault", vault).http() as running:
        for body in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"jsonrpc":"1.0"}', b"[" * 100_000):
            assert 400 <= post(running, body) < 500, body[:20]
        for request in (
            b"\x00" * 1000,
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
            b"PUT /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            answer = raw(running, request)
            assert not answer or answer.split()[1].startswith(b"4"), answer[:80]
        healthy(running)


def test_oversized_requests(plain: Make, vault: Path) -> None:
    with plain("--vault", vault).http() as running:
        before = running.memory()
        body = json.dumps(INITIALIZE | {"padding": "x" * (20 << 20)}).encode()
        answer = raw(running, head(len(body)) + body)
        # It may also hang up before it has read it all, and this process then miss the answer.
        assert not answer or answer.split()[1] == b"413", answer[:80]
        healthy(running)
        assert running.memory() - before < 64 << 10


def test_clients_that_vanish_and_readers_that_stall(plain: Make, vault: Path) -> None:
    body = json.dumps(INITIALIZE).encode()
    with plain("--vault", vault).http() as running:
        for _ in range(50):
            head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            with socket.create_connection(("127.0.0.1", running.port)) as connection:
                connection.sendall(head.encode() + body[: len(body) // 2])
        stalled = []
        for _ in range(50):
            connection = socket.create_connection(("127.0.0.1", running.port))
            headers = "\r\n".join(f"{name}: {value}" for name, value in HEADERS.items())
            connection.sendall(
                f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            stalled.append(connection)
        healthy(running)
        for connection in stalled:
            connection.close()
        healthy(running)


def test_more_is_sent_than_there_is_room_for(plain: Make, vault: Path) -> None:
    """Large requests that never become whole: some are let in, the others are refused and logged."""
    length = 8 << 20
    with plain("--vault", vault).http() as running, contextlib.ExitStack() as open_ones:
        for _ in range(20):
            address = ("127.0.0.1", running.port)
            connection = open_ones.enter_context(socket.create_connection(address))
            with contextlib.suppress(OSError):
                connection.sendall(head(length) + b" " * (length // 2))
        logged(running, "too many requests are in hand", 10)
        assert running.memory() < 128 << 10
        healthy(running)


def test_answers_that_nobody_reads(plain: Make, vault: Path) -> None:
    """Requests after requests on one connection, whose answers are never read."""
    with plain("--vault", vault).http() as running:
        body = request(1, "tools/list").strip()
        asked = head(len(body), mcp_session_id=opened(running)) + body
        before = running.memory()
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            connection.settimeout(1)
            with contextlib.suppress(TimeoutError):
                for _ in range(100_000):
                    connection.sendall(asked)
                raise AssertionError("the server took every request")
            assert running.memory() - before < 16 << 10
            healthy(running)


def test_more_sessions_than_there_are_places(plain: Make, vault: Path) -> None:
    body = json.dumps(INITIALIZE).encode()
    with plain("--vault", vault).http() as running:
        session = opened(running)
        for _ in range(255):
            assert post(running, body) == 200
        assert post(running, body) == 503
        logged(running, "256 sessions are open")
        # One that ends makes room.
        end = f"DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nmcp-session-id: {session}\r\n\r\n"
        assert raw(running, end.encode()).split()[1].startswith(b"2")
        healthy(running)


def test_sessions_and_calls_leave_nothing_behind(plain: Make, vault: Path) -> None:
    async def sessions(running: Http, count: int) -> None:
        for _ in range(count):
            async with over_http(running) as session:
                await session.list_tools()
                await call(session, "get_vault_status")
                await call(session, "query_events")
                await call(session, "append_event", type="OBSERVATION", data=DOOR)

    with plain("--vault", vault).http() as running:
        anyio.run(sessions, running, 20)
        before = running.memory()
        anyio.run(sessions, running, 60)
        # A session costs about 180 KiB while it lives: all of them together would be seen.
        assert running.memory() - before < 4 << 10


# ------------------------------------------------------------------------------ stdio


def request(number: int, method: str, **parameters: Any) -> bytes:
    """A request as a line."""
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
    return json.dumps(message).encode() + b"\n"


def resident(process: int) -> int:
    """Resident memory in KiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if "VmRSS" in line).split()[1])


class Pipe:
    """A server over stdio, spoken to by hand."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self.process = process

    def send(self, message: object) -> None:
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(data + b"\n")
        self.process.stdin.flush()

    def receive(self, request: int) -> dict[str, Any]:
        """The answer to a request; what comes before it is of no interest here."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get("id") == request:
                return dict(message)
        raise AssertionError("the server ended")

    def ask(self, request: int, method: str, **parameters: Any) -> dict[str, Any]:
        self.send({"jsonrpc": "2.0", "id": request, "method": method, "params": parameters})
        return self.receive(request)


@contextlib.contextmanager
def pipe(server: Server, greet: bool = True) -> Iterator[Pipe]:
    process = subprocess.Popen(
        [server.executable, *server.arguments],
        env=server.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        opened = Pipe(process)
        if greet:
            opened.send(INITIALIZE)
            opened.receive(0)
            opened.send(INITIALIZED)
        yield opened
    finally:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(15)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_nonsense_over_stdio(plain: Make, vault: Path) -> None:
    with pipe(plain("--vault", vault)) as opened:
        for nonsense in (b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b'"x"', b"[" * 200_000):
            opened.send(nonsense)
        opened.send(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"' + b"x" * (10 << 20))
        answer = opened.ask(2, "no/such/method")
        assert answer["error"]["code"] == -32601
        answer = opened.ask(3, "tools/call", name="no_such_tool", arguments={})
        assert answer["error"]["code"] == -32602
        answer = opened.ask(4, "tools/call", name="get_vault_status", arguments="text")
        assert "error" in answer
        # A second greeting does not bring the first client down.
        opened.send(INITIALIZE | {"id": 5})
        opened.receive(5)
        answer = opened.ask(6, "tools/call", name="get_vault_status", arguments={})
        assert answer["result"]["structuredContent"]["valid"]


def test_the_wrong_order_over_stdio(plain: Make, vault: Path) -> None:
    log = vault / "events" / "events.ndjson"
    before = log.read_bytes()
    with pipe(plain("--vault", vault), greet=False) as opened:
        arguments = {"type": "OBSERVATION", "data": DOOR}
        opened.send(
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": "append_event", "arguments": arguments},
            }
        )
        # The first message has to open a session: this one is answered with an error.
        assert "error" in opened.receive(1)
    assert log.read_bytes() == before


def test_a_reader_that_stalls_over_stdio(plain: Make, vault: Path) -> None:
    """A client that asks and never reads: it is not read either, and the server does not grow."""
    server = plain("--vault", vault)
    with pipe(server) as opened:
        opened.ask(1, "tools/list")
        before = resident(opened.process.pid)
        assert opened.process.stdin is not None
        stdin = opened.process.stdin.fileno()
        os.set_blocking(stdin, False)
        number = 2
        rest = b""
        taken = 0.0
        # Until nothing more is taken for a second.
        while time.monotonic() - taken < 1 or not taken:
            if not rest:
                rest = request(number, "tools/list")
                number += 1
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(stdin, rest) :]
                taken = time.monotonic()
        assert opened.process.poll() is None
        # What waits in the server, and what the two pipes hold.
        assert 256 < number < 4096
        assert resident(opened.process.pid) - before < 16 << 10
        # Every request that was taken whole is answered once the client reads.
        os.set_blocking(stdin, True)
        reader = threading.Thread(target=lambda: opened.receive(number))
        reader.start()
        os.write(stdin, rest + request(number, "ping"))
        reader.join(60)
        assert not reader.is_alive()


def test_a_client_that_vanishes_in_mid_call(plain: Make, vault: Path) -> None:
    server = plain("--vault", vault)
    with pipe(server) as opened:
        for number in range(1, 6):
            arguments = {"type": "OBSERVATION", "data": DOOR | {"value": number}}
            opened.send(
                {
                    "jsonrpc": "2.0",
                    "id": number,
                    "method": "tools/call",
                    "params": {"name": "append_event", "arguments": arguments},
                }
            )
        opened.process.stdin.close()  # type: ignore[union-attr]
        opened.process.stdout.close()  # type: ignore[union-attr]
        until(lambda: opened.process.poll() is not None, 15)
    done = server.run("verify", vault)
    assert done.returncode == 0, done.stdout
