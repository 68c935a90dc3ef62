"""The MCP server under load: many clients over HTTP, mixed calls, figures on stdout.

16 clients, 10,000 calls: p50 and p99 by tool, and the server's memory before, after, and after
as many more that let the vault as it is
an append through MCP beside the same library call
from the start of the process to the first answer, over stdio
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

Figures = dict[str, list[float]]

HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-11-25",
}
GREETING = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "load", "version": "1"},
}
DOOR = {"subject": "door", "predicate": "state", "value": "open"}

MIX: list[tuple[str, dict[str, Any]]] = [
    ("query_events", {"limit": 10}),
    ("get_vault_status", {}),
    ("append_event", {"type": "OBSERVATION", "data": DOOR}),
    ("reduce_vault", {}),
    ("replay_beliefs", {"key_prefix": "door:"}),
    ("verify_vault", {}),
]
WEIGHTS = [40, 20, 10, 10, 10, 10]
READING = [40, 20, 0, 10, 10, 10]


class Client:
    """A client by hand: what is measured is the server, not a client's own work."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = dict(HEADERS)
        self.next = 0
        self.ask("initialize", GREETING)
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def post(self, message: dict[str, Any]) -> bytes:
        self.connection.request("POST", "/mcp", json.dumps(message), self.headers)
        response = self.connection.getresponse()
        session = response.getheader("mcp-session-id")
        if session:
            self.headers["mcp-session-id"] = session
        return response.read()

    def ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self.next += 1
        body = self.post(
            {"jsonrpc": "2.0", "id": self.next, "method": method, "params": parameters}
        )
        for line in body.splitlines():
            if line.startswith(b"data:") and len(line) > 8:
                message = json.loads(line[5:])
                if message.get("id") == self.next:
                    return dict(message["result"])
        return dict(json.loads(body)["result"])

    def close(self) -> None:
        """Ends the session, as the official clients do."""
        self.connection.request("DELETE", "/mcp", headers=self.headers)
        assert self.connection.getresponse().status < 300
        self.connection.close()

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = self.ask("tools/call", {"name": tool, "arguments": arguments})
        assert not result.get("isError"), result
        return dict(result["structuredContent"])


def work(port: int, calls: int, seed: int, weights: list[int], out: Any) -> None:
    """One client: mostly reading, some writing."""
    dice = random.Random(seed)
    client = Client(port)
    figures: Figures = {}
    for _ in range(calls):
        tool, arguments = dice.choices(MIX, weights=weights)[0]
        began = time.perf_counter()
        client.call(tool, **arguments)
        figures.setdefault(tool, []).append(time.perf_counter() - began)
    client.close()
    out.put(figures)


def memory(pid: int) -> float:
    """Resident memory in MiB, without what is only mapped from files."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def milliseconds(values: list[float]) -> str:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"p50 {statistics.median(ordered) * 1e3:8.2f} ms   p99 {p99 * 1e3:8.2f} ms"


def serve(executable: Path, vault: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [executable, *("mcp", "--vault", vault, "--transport", "http", "--listen", "127.0.0.1:0")],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "listening on" in line:
            return process, int(line.rsplit(":", 1)[1].split("/")[0])
    raise RuntimeError("the server did not start")


def crowd(port: int, clients: int, calls: int, weights: list[int]) -> tuple[Figures, float]:
    """The calls of many clients at once, and how long all of them took."""
    out: Any = multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=work, args=(port, calls // clients, seed, weights, out))
        for seed in range(clients)
    ]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    figures: Figures = {}
    for _ in workers:
        for tool, values in out.get().items():
            figures.setdefault(tool, []).extend(values)
    elapsed = time.perf_counter() - began
    for worker in workers:
        worker.join()
    return figures, elapsed


def load(executable: Path, vault: Path, clients: int, calls: int) -> None:
    process, port = serve(executable, vault)
    try:
        crowd(port, clients, 50 * clients, WEIGHTS)
        before = memory(process.pid)
        figures, elapsed = crowd(port, clients, calls, WEIGHTS)
        after = memory(process.pid)
        every = [value for values in figures.values() for value in values]
        print(f"{len(every)} calls of {clients} clients: {len(every) / elapsed:.0f} a second")
        print(f"  {'all':18} {milliseconds(every)}")
        for tool, values in sorted(figures.items()):
            print(f"  {tool:18} {milliseconds(values)}   ({len(values)} calls)")
        log = (vault / "events" / "events.ndjson").stat().st_size / (1 << 20)
        print(
            f"  memory {before:.1f} MiB before, {after:.1f} MiB after, with a log of {log:.1f} MiB"
        )
        # The log has grown, and with it what a call needs. Now it does not.
        for _ in range(3):
            crowd(port, clients, calls // 2, READING)
            print(f"  memory {memory(process.pid):.1f} MiB after {calls // 2} more that only read")
    finally:
        process.kill()
        process.wait()


def append(executable: Path, directory: Path) -> None:
    from provara import Vault

    library = Vault.init(str(directory / "by-library"))
    second = directory / "by-mcp"
    subprocess.run([executable, "init", second], check=True, stdout=subprocess.DEVNULL)
    process, port = serve(executable, second)
    direct, through = [], []
    try:
        client = Client(port)
        # In turn, so that whatever else the machine does meets both.
        for _ in range(200):
            began = time.perf_counter()
            library.append("OBSERVATION", DOOR)
            between = time.perf_counter()
            client.call("append_event", type="OBSERVATION", data=DOOR)
            direct.append(between - began)
            through.append(time.perf_counter() - between)
    finally:
        process.kill()
        process.wait()
    ratio = statistics.median(through) / statistics.median(direct)
    print("an append")
    print(f"  by the library     {milliseconds(direct)}")
    print(f"  through MCP, HTTP  {milliseconds(through)}   ({ratio:.2f} times)")


def start(executable: Path, vault: Path) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": GREETING}
    request = json.dumps(message) + "\n"
    times = []
    for _ in range(20):
        began = time.perf_counter()
        process = subprocess.Popen(
            [executable, "mcp", "--vault", vault],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(request)
        process.stdin.flush()
        assert "serverInfo" in process.stdout.readline()
        times.append(time.perf_counter() - began)
        process.kill()
        process.wait()
    print(f"from the start to the first answer, stdio\n  {milliseconds(times)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--calls", type=int, default=10_000)
    beside = Path(sys.executable).parent / "provara"
    parser.add_argument("--executable", type=Path, default=beside)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        os.environ["HOME"] = name
        vault = directory / "vault"
        subprocess.run([options.executable, "init", vault], check=True, stdout=subprocess.DEVNULL)
        start(options.executable, vault)
        append(options.executable, directory)
        load(options.executable, vault, options.clients, options.calls)


if __name__ == "__main__":
    main()
