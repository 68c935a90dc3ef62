"""What a hostile or broken client may try over HTTP: each is refused, and the server lives on."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import Make
from support_mcp import TOKEN, Http, over_http, until
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


# What is no message, with the code of the error that answers it, and the id in that.
NONSENSE: dict[bytes, tuple[int, object]] = {
    b"{": (-32700, None),
    b"\xff\xfe\x00": (-32700, None),
    b"[" * 200_000: (-32700, None),
    b'{"jsonrpc":"2.0","id":1,"method":"x\xff"}': (-32700, None),
    b"[]": (-32600, None),
    b"null": (-32600, None),
    b'"x"': (-32600, None),
    b"7": (-32600, None),
    b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]': (-32600, None),
    b'{"jsonrpc":"1.0","id":31,"method":"ping"}': (-32600, 31),
    b'{"id":32,"method":"ping"}': (-32600, 32),
    b'{"jsonrpc":"2.0","id":33}': (-32600, 33),
    b'{"jsonrpc":"2.0","id":34,"method":7}': (-32600, 34),
    b'{"jsonrpc":"2.0","id":null,"method":"ping"}': (-32600, None),
    b'{"jsonrpc":"2.0","id":35,"method":"ping","params":{"x":%s}}' % (b"[" * 500 + b"]" * 500): (
        -32600,
        35,
    ),
    b'{"jsonrpc":"2.0","id":36,"method":"tools/call","params":[1]}': (-32602, 36),
    b'{"jsonrpc":"2.0","id":37,"method":"tools/list","params":{"cursor":5}}': (-32602, 37),
    b'{"jsonrpc":"2.0","id":38,"method":"resources/list","params":{"cursor":{}}}': (-32602, 38),
    b'{"jsonrpc":"2.0","id":39,"method":"prompts/list","params":{"_meta":[]}}': (-32602, 39),
    **{
        b'{"jsonrpc":"2.0","id":35,"method":"tools/call","params":{"name":"append_event","arguments":%s}}'
        % arguments: (-32602, 35)
        for arguments in (
            b'{"type":"OBSERVATION","data":{"subject":"s","predicate":"p","value":1,"value":2}}',
            b'{"type":"OBSERVATION","data":{"subject":"s","predicate":"p","value":[{"ok":1,"\\u006fk":2}]}}',
            b'{"type":"OBSERVATION","type":"ASSERTION","data":{"subject":"s","predicate":"p","value":3}}',
            b'{"type":"OBSERVATION","data":{},"data":{"subject":"s","predicate":"p","value":5}}',
        )
    },
}

# Parameters that do not fit a call.
MISFITS: tuple[dict[str, Any], ...] = (
    {},
    {"params": {}},
    {"params": {"name": 7}},
    {"params": {"name": "get_vault_status", "arguments": "text"}},
    {"params": {"name": "no_such_tool", "arguments": {}}},
)


def raw(running: Http, request: bytes, wait: float = 5.0, until: bytes = b"\r\n\r\n") -> bytes:
    """Sends bytes and gives what comes back, until that has come or the server hangs up."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=wait) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request)
        answer = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                answer += chunk
                if until in answer:
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


def refusal(running: Http, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    """Posts what is refused, and gives the status and the error."""
    sent = head(len(body), Connection="close", **headers) + body
    answer = raw(running, sent, until=b"never\0")
    start, _, error = answer.partition(b"\r\n\r\n")
    assert b"application/json" in start, answer
    return int(start.split()[1]), dict(json.loads(error))


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


def request(number: int, method: str, **parameters: Any) -> bytes:
    """A request as a line."""
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
    return json.dumps(message).encode() + b"\n"


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
        assert post(running, body, Host="LOCALHOST") == 200
        for host in (
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "localhost.",
            "localhost:port",
            "localhost:99999",
            "user@localhost",
            "[::1",
            "[::1].evil.example",
            "[::1]80",
            "[::ffff:10.0.0.1]",
            "2130706433",
        ):
            assert post(running, body, Host=host) in (400, 403), host
        assert post(running, body, Origin="http://localhost:6274") == 200
        for origin in (
            "https://evil.example",
            "http://localhost.evil.example",
            "null",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "http://[::1].evil.example",
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
        for wrong in (
            "",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Basic {TOKEN}",
            "Bearer",
            TOKEN,
        ):
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


def ending(session: str) -> bytes:
    """The request that ends a session."""
    start = "DELETE /mcp HTTP/1.1\r\nHost: localhost"
    return f"{start}\r\nmcp-session-id: {session}\r\n\r\n".encode()


def test_a_session_ends_once(plain: Make, vault: Path) -> None:
    with plain("--vault", vault).http() as running:
        session = opened(running)
        statuses = [raw(running, ending(name)).split()[1] for name in ("nothing", session, session)]
        assert statuses == [b"404", b"204", b"404"]
        logged(running, "the session is not open", 2)


def test_one_id_twice_over_http(plain: Make, vault: Path) -> None:
    """As over stdio: every request of one id is answered, and all but one with an error."""
    with plain("--vault", vault).http() as running:
        session, other = opened(running), opened(running)
        answers: list[bytes] = []

        def ask(body: bytes, session: str) -> None:
            sent = head(len(body), mcp_session_id=session, Connection="close") + body
            answers.append(raw(running, sent, wait=20, until=b"never\0"))

        body = request(7, "tools/call", name="verify_vault", arguments={})
        refused = 0
        for _ in range(5):
            asking = [threading.Thread(target=ask, args=(body, session)) for _ in range(20)]
            # In another session the id is another request's.
            asking.append(threading.Thread(target=ask, args=(request(7, "ping"), other)))
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()
            assert all(b'"id":7' in answer for answer in answers), answers
            assert any(b"structuredContent" in answer for answer in answers)
            assert b"error" not in next(a for a in answers if b'"result":{}' in a)
            refused += sum(b"a request with this id is in hand" in answer for answer in answers)
            answers.clear()
        assert refused
        logged(running, "with this id is in hand", refused)
        # Whoever hangs up in the middle leaves the id to the next once its handler has ended.
        sent = head(len(body), mcp_session_id=session) + body
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            connection.sendall(sent)

        def free() -> bool:
            ask(request(7, "ping"), session)
            return b'"result"' in answers[-1]

        until(free, 10)


def test_malformed_requests(plain: Make, vault: Path) -> None:
    with plain("--vault", vault).http() as running:
        session = opened(running)
        for body, (code, number) in NONSENSE.items():
            # Revision 2025-03-26, which is assumed where none is named, has batches.
            named = {"mcp_session_id": session, "MCP_Protocol_Version": "2025-06-18"}
            status, error = refusal(running, body, **named)
            assert (status, error["error"]["code"], error["id"]) == (400, code, number), body[:80]
        batch = json.dumps([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]).encode()
        revision = {"MCP_Protocol_Version": "2025-03-26"}
        for where, expected in (({}, 400), ({"mcp_session_id": "no-such-session"}, 404)):
            status, error = refusal(running, batch, **where, **revision)
            assert status == expected and error["error"]["message"], where
        logged(running, "refused a message", len(NONSENSE))
        for number, parameters in enumerate(MISFITS, 1):
            body = json.dumps(
                {"jsonrpc": "2.0", "id": number, "method": "tools/call"} | parameters
            ).encode()
            answer = raw(running, head(len(body), mcp_session_id=session) + body, until=b"-32602")
            assert b"-32602" in answer, (parameters, answer)
        # What the protocol's library refuses has the form of every other refusal.
        for options in (
            {"mcp_session_id": "no-such-session"},
            {"Accept": "text/plain"},
            {"Content_Type": "text/plain"},
            {"MCP_Protocol_Version": "1999-01-01", "mcp_session_id": session},
        ):
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
            status, error = refusal(running, body, **options)
            assert 400 <= status < 500 and error["error"]["message"], options
        for request in (
            b"\x00" * 1000,
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        ):
            answer = raw(running, request)
            assert not answer or answer.split()[1].startswith(b"4"), answer[:80]
        # A method that is none is told before what comes with it.
        for body in (b"", *NONSENSE):
            sent = head(len(body), mcp_session_id=session).replace(b"POST", b"PUT", 1) + body
            answer = raw(running, sent)
            assert not answer or answer.split()[1] == b"405", answer[:80]
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
            with socket.create_connection(("127.0.0.1", running.port)) as connection:
                connection.sendall(head(len(body)) + body[: len(body) // 2])
        stalled = []
        for _ in range(50):
            connection = socket.create_connection(("127.0.0.1", running.port))
            connection.sendall(head(len(body)) + body)
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
        # Of another method nothing is kept, however much comes with it.
        for _ in range(60):
            connection = open_ones.enter_context(socket.create_connection(address))
            with contextlib.suppress(OSError):
                sent = head(length).replace(b"POST", b"PUT", 1)
                connection.sendall(sent + b" " * (length // 2))
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
        # Who asks without a session takes no place.
        asked = request(1, "server/discover").strip()
        assert post(running, asked, MCP_Protocol_Version="2026-07-28") != 503
        # One that ends makes room.
        assert raw(running, ending(session)).split()[1].startswith(b"2")
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
