"""What a hostile or broken client may try over stdio: each is refused, and the server lives on."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Make
from support_mcp import Server, until
from test_abuse import INITIALIZE, INITIALIZED, MISFITS, NONSENSE, request
from test_client import DOOR


def resident(process: int) -> int:
    """Resident memory in KiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if "VmRSS" in line).split()[1])


READS = ("get_vault_status", "verify_vault", "query_events", "replay_beliefs", "reduce_vault")


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
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            [server.executable, *server.arguments],
            env=server.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
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
    server = plain("--vault", vault)
    with pipe(server) as opened:
        assert opened.process.stdout is not None
        opened.send(b"")
        for nonsense, (code, number) in NONSENSE.items():
            opened.send(nonsense)
            answer = json.loads(opened.process.stdout.readline())
            assert (answer["error"]["code"], answer["id"]) == (code, number), nonsense[:80]
        # Too long, the id before or behind what makes it so; nothing is answered to an answer.
        long = b"x" * (10 << 20)
        opened.send(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"' + long)
        assert opened.receive(1)["error"]["code"] == -32600
        opened.send(b'{"method":"tools/call","params":{"x":"' + long + b'"},"id":"two"}')
        answer = json.loads(opened.process.stdout.readline())
        assert answer["id"] == "two" and "9 MiB" in answer["error"]["message"]
        opened.send(b'{"jsonrpc":"1.0","id":1,"result":{}}')
        assert opened.ask(2, "no/such/method")["error"]["code"] == -32601
        for parameters in MISFITS:
            opened.send({"jsonrpc": "2.0", "id": 3, "method": "tools/call"} | parameters)
            assert opened.receive(3)["error"]["code"] == -32602, parameters
        # A second greeting does not bring the first client down.
        opened.send(INITIALIZE | {"id": 5})
        opened.receive(5)
        answer = opened.ask(6, "tools/call", name="get_vault_status", arguments={})
        assert answer["result"]["structuredContent"]["valid"]
    log = server.log.read_text()
    assert log.count("refused a message") == len(NONSENSE) + 3
    assert log.count("refused a request") == len(MISFITS)


def test_an_event_has_the_limit_of_every_other_way(plain: Make, vault: Path) -> None:
    """8 MiB of payload, less than the message that it comes in."""
    around = len('{"predicate":"p","subject":"s","value":""}')
    with pipe(plain("--vault", vault)) as opened:
        for number, (length, is_error) in enumerate([(8 << 20, False), ((8 << 20) + 1, True)]):
            data = {"subject": "s", "predicate": "p", "value": "x" * (length - around)}
            answer = opened.ask(
                10 + number,
                "tools/call",
                name="append_event",
                arguments={"type": "OBSERVATION", "data": data},
            )["result"]
            assert answer.get("isError", False) is is_error, str(answer)[:500]
            if is_error:
                assert "8 MiB are the most" in answer["content"][0]["text"]


def test_one_id_twice_over_stdio(plain: Make, vault: Path) -> None:
    """Two requests of one id could not be told apart: the second is refused while the first runs."""
    with pipe(plain("--vault", vault)) as opened:
        assert opened.process.stdin is not None and opened.process.stdout is not None
        one = request(7, "tools/call", name="verify_vault", arguments={})
        opened.process.stdin.write(one * 20)
        opened.process.stdin.flush()
        answers = [json.loads(opened.process.stdout.readline()) for _ in range(20)]
        assert any("result" in answer for answer in answers)
        refused = [answer["error"]["message"] for answer in answers if "error" in answer]
        assert refused and all("in hand" in message for message in refused)
        assert "result" in opened.ask(7, "ping")


def test_a_session_that_is_opened_again_hears_of_everything_once(plain: Make, vault: Path) -> None:
    with pipe(plain("--vault", f"v={vault}")) as opened:
        assert opened.process.stdout is not None
        for _ in range(20):
            opened.send(INITIALIZED)
        opened.ask(1, "resources/subscribe", uri="provara://v/status")
        arguments = {"type": "OBSERVATION", "data": DOOR}
        opened.send(request(2, "tools/call", name="append_event", arguments=arguments).strip())
        # What tells of the append comes before or after its answer, and is there within a second.
        time.sleep(1)
        opened.send({"jsonrpc": "2.0", "id": 3, "method": "ping"})
        heard: list[dict[str, Any]] = []
        while {2, 3} - {message.get("id") for message in heard}:
            heard.append(json.loads(opened.process.stdout.readline()))
        told = [message.get("method") for message in heard]
        assert told.count("notifications/resources/updated") == 1, told


def test_vaults_made_at_the_same_time_are_told_apart(plain: Make, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    with pipe(plain("--init-dir", made)) as opened:
        assert opened.process.stdout is not None
        for vault in range(5):
            names = [f"{letter}{vault}" for letter in "vVvV"]
            for number, name in enumerate(names, 1):
                arguments = {"name": name}
                asked = request(number, "tools/call", name="init_vault", arguments=arguments)
                opened.send(asked.strip())
            failed: list[bool] = []
            while len(failed) < len(names):
                answer = json.loads(opened.process.stdout.readline())
                if "result" in answer:
                    failed.append(bool(answer["result"].get("isError")))
            assert failed.count(False) == 1, failed
    assert len(list(made.iterdir())) == 5


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
        # A notice of a session that is not open ends nothing.
        opened.send(INITIALIZED)
        opened.send(INITIALIZE)
        assert "result" in opened.receive(0)
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


def test_ten_thousand_requests_at_once_over_stdio(plain: Make, vault: Path) -> None:
    """A client that asks faster than it is answered, and reads: every request has one answer."""
    count = 10_000
    with pipe(plain("--vault", vault)) as opened:
        opened.ask(count + 1, "tools/call", name=READS[0], arguments={})
        before = resident(opened.process.pid)
        stdout = opened.process.stdout
        assert stdout is not None
        calls = [
            request(number, "tools/call", name=READS[number % len(READS)], arguments={})
            for number in range(count)
        ]
        asking = threading.Thread(target=opened.send, args=(b"".join(calls),))
        asking.start()
        answered = []
        for _ in range(count):
            answer = json.loads(stdout.readline())
            assert not answer["result"].get("isError"), answer
            answered.append(answer["id"])
        asking.join()
        assert sorted(answered) == list(range(count))
        assert resident(opened.process.pid) - before < 32 << 10


@pytest.mark.parametrize("requests", [1, 40, 5000])
def test_a_client_that_closes_its_end_and_never_reads(
    plain: Make, vault: Path, requests: int
) -> None:
    """Its answers fill the pipe; the server gives it some seconds and ends."""
    with pipe(plain("--vault", vault)) as opened:
        assert opened.process.stdin is not None
        stdin = opened.process.stdin.fileno()
        os.set_blocking(stdin, False)
        with contextlib.suppress(BlockingIOError):
            for number in range(requests):
                os.write(stdin, request(number + 1, "tools/list"))
        time.sleep(1)
        opened.process.stdin.close()
        until(lambda: opened.process.poll() is not None, 14)
        assert opened.process.returncode == 0


@pytest.mark.parametrize("path", ["events/events.ndjson", "identity/keys.json", "policies/extra"])
@pytest.mark.parametrize("kind", ["pipe", "loop", "device"])
def test_what_cannot_be_read_to_its_end_is_no_file_of_a_vault(
    plain: Make, vault: Path, path: str, kind: str
) -> None:
    """A vault may come from anywhere: no call waits for it, and nothing is derived from it."""
    with pipe(plain("--vault", vault)) as opened:
        place = vault / path
        place.parent.mkdir(exist_ok=True)
        place.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(place)
        else:
            place.symlink_to(place if kind == "loop" else "/dev/zero")
        answers: list[Any] = []

        def ask() -> None:
            for number, tool in enumerate(READS, 1):
                answer = opened.ask(number, "tools/call", name=tool, arguments={})
                answers.append(answer["result"])

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(20)
        assert len(answers) == len(READS)
        assert [answer["structuredContent"]["valid"] for answer in answers[:2]] == [False, False]
        assert all(answer["isError"] for answer in answers[2:])


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
