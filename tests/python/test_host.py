"""The plugin host as the executable sees it: a process at the other end of a socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from provara import Vault
from samples import MakeModule

PLUGINS = """
import os, sys, threading
from provara.plugins import registry

class Login:
    name = "com.host.login"
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    version = "2.0"
    def validate(self, data):
        return eval(data["do"])
    def cli_command(self): return "host-login"

def fail(error): raise error

class Reducer:
    name = "reducer"
    result = None
    def reduce(self, events):
        return {"events": [e["type"] for e in events], "kind": type(events).__name__}

class Custom:
    def __init__(self, name, body):
        self.name = name
        self.body = body
    def reduce(self, events):
        return self.body(events)
    def export(self, vault_path, output_path):
        return self.body(output_path)

def cycle(events):
    loop = []
    loop.append(loop)
    return loop

def mutate(events):
    for event in events:
        event.clear()
    return {}

class Hostile(Exception):
    def __str__(self): raise SystemExit("in str")
    __repr__ = __str__

for name, body in {
    "raises": lambda e: fail(KeyError("here")),
    "exits": lambda e: sys.exit(7),
    "interrupts": lambda e: fail(KeyboardInterrupt()),
    "hostile": lambda e: fail(Hostile()),
    "recursive": lambda e: (lambda f: f(f))(lambda f: f(f)),
    "none": lambda e: None,
    "nan": lambda e: {"a": [1, float("nan")]},
    "keys": lambda e: {"a": {1: 2}},
    "set": lambda e: {1, 2},
    "cycle": cycle,
    "surrogate": lambda e: {"a": "\\udc80"},
    "list": lambda e: [len(list(e)), 1.0, True, None, "x"],
    "mutate": mutate,
    "prints": lambda e: (print("to stdout"), print("to stderr", file=sys.stderr), {})[2],
    "closes": lambda e: (sys.stdout.close(), os.close(2), {})[2],
    "descriptors": lambda e: sorted(fd for fd in map(int, os.listdir("/proc/self/fd"))
                                    if fd > 2 and inheritable(fd)),
    "argv": lambda e: sys.argv,
    "path": lambda e: sys.path,
    "threads": lambda e: (threading.Thread(target=threading.Event().wait).start(), {})[1],
}.items():
    registry.register_reducer(Custom(name, body))

def inheritable(fd):
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False

def write(path):
    with open(path, "w") as file:
        file.write("x" * 100_000)

registry.register_reducer(Reducer())
registry.register_event_type(Login())
registry.register_export(Custom("write", write))
registry.register_export(Custom("raises", lambda path: fail(OSError("disk"))))
"""


class Host:
    """The executable's end of the protocol."""

    def __init__(self, site: Path, inherit: tuple[int, ...] = ()) -> None:
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.next_id = 0
        self.loading: list[dict[str, str | None] | None] = []
        environment = {
            "PATH": os.defpath,
            "PYTHONPATH": str(site),
            "PYTHONUTF8": "1",
            "PYTHONSAFEPATH": "1",
            "PROVARA_HOST": "1",
            "PROVARA_PLUGINS": "hostmod",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "provara.plugins._host",
             "--protocol-fd", str(theirs.fileno())],
            pass_fds=(theirs.fileno(), *inherit),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
        )  # fmt: skip
        theirs.close()

    def send(self, body: bytes) -> None:
        self.socket.sendall(len(body).to_bytes(4, "big") + body)

    def receive(self) -> dict[str, Any]:
        header = self._exactly(4)
        reply: dict[str, Any] = json.loads(self._exactly(int.from_bytes(header, "big")))
        return reply

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self.socket.recv(size - len(data))
            assert chunk, f"the host ended: {self.process.communicate()[1].decode()}"
            data += chunk
        return data

    def ask(self, op: str, **members: Any) -> dict[str, Any]:
        self.next_id += 1
        self.send(json.dumps({"id": self.next_id, "op": op, **members}).encode())
        reply = self.receive()
        while op == "discover" and set(reply) == {"id", "loading"}:
            assert reply["id"] == self.next_id
            self.loading.append(reply["loading"])
            self.note()
            reply = self.receive()
        assert reply.pop("id") == self.next_id
        return reply

    def note(self) -> None:
        self.send(json.dumps({"id": self.next_id, "noted": True}).encode())

    def result(self, op: str, **members: Any) -> Any:
        reply = self.ask(op, **members)
        assert reply.pop("ok") is True, reply
        return reply["result"]

    def error(self, op: str, **members: Any) -> dict[str, Any]:
        reply = self.ask(op, **members)
        assert reply.pop("ok") is False, reply
        error: dict[str, Any] = reply["error"]
        assert set(error) == {"kind", "plugin", "exception", "message", "traceback", "tried"}
        return error

    def close(self) -> tuple[int, str, str]:
        self.socket.close()
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out.decode(), err.decode()


Start = Callable[..., Host]


@pytest.fixture
def start(site: Path, make_module: MakeModule) -> Iterator[Start]:
    make_module("hostmod.py", PLUGINS)
    hosts: list[Host] = []

    def start(inherit: tuple[int, ...] = ()) -> Host:
        hosts.append(Host(site, inherit))
        return hosts[-1]

    yield start
    for host in hosts:
        host.socket.close()
        if host.process.poll() is None:
            host.process.kill()
        with host.process:  # closes the pipes and waits
            pass


@pytest.fixture
def host(start: Start) -> Host:
    return start()


def test_hello(host: Host) -> None:
    hello = host.result("hello", protocol=2)
    assert hello == {
        "protocol": 2,
        "version": "1.1.0",
        "python": ".".join(map(str, sys.version_info[:3])),
        "executable": sys.executable,
    }
    assert host.close() == (0, "", "")


def test_discover(host: Host) -> None:
    found = host.result("discover")
    plugins = {plugin["name"]: plugin for plugin in found["plugins"]}
    assert plugins["com.host.login"] == {
        "kind": "event_type",
        "name": "com.host.login",
        "class": "hostmod.Login",
        "distribution": None,
        "version": None,
        "source": "environment",
        "entry_point": None,
        # Read where it is asked for.
        "schema_json": None,
        "schemas_json": None,
        "unread_schemas": None,
        "schema_version": None,
        "cli_command": "host-login",
        "item": "hostmod",
        "description": None,
    }
    assert plugins["reducer"]["kind"] == "reducer"
    assert plugins["reducer"]["schema_json"] is None
    assert found["problems"] == []
    own = {"plugin": "hostmod", "module": None}
    # Its import, what it registers, the alias of its event type.
    assert host.loading == [own | {"module": "hostmod"}, own, own, None]
    assert host.result("discover") == found
    assert host.loading[4:] == [None]
    schema = {
        "schema_json": '{"type":"object","properties":{"a":{"type":"integer"}}}',
        "schemas_json": None,
        "schema_version": "2.0",
    }
    every = host.result("discover", schemas=True)
    (login,) = (plugin for plugin in every["plugins"] if plugin["name"] == "com.host.login")
    assert {name: login[name] for name in schema} == schema
    assert host.loading[5:] == [own, None]
    assert host.result("schema", type="com.host.login") == schema
    assert host.error("schema", type="com.host.none")["kind"] == "not_found"


def test_whose_code_runs_is_said(start: Start, make_module: MakeModule) -> None:
    """Also after the last was loaded: an alias is its own plugin's doing."""
    event = (
        "schema = {}\n  def validate(self, d): return True\n  def cli_command(self): return None"
    )
    make_module("hostmod.py", f"class AEvent:\n  name = 'com.host.a'\n  {event}")
    make_module("other.py", f"class BEvent:\n  name = 'com.host.b'\n  {event}")
    make_module("sitecustomize.py", "import os; os.environ['PROVARA_PLUGINS'] = 'hostmod,other'")
    host = start()
    host.result("discover")
    names = [None if one is None else (one["plugin"], one["module"]) for one in host.loading]
    first, second = ("hostmod", None), ("other", None)
    assert names == [
        ("hostmod", "hostmod"), first, ("other", "other"), second, first, second, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("skip", "left"),
    [
        ({"plugin": "hostmod:One", "module": None}, ["two", "three"]),
        ({"plugin": "hostmod:One", "module": "hostmod"}, ["three"]),
        ({"plugin": "absent", "module": "absent"}, ["one", "two", "three"]),
        ({"plugin": "absent", "module": None}, ["one", "two", "three"]),
    ],
)
def test_what_is_to_be_left_out_is_not_imported(
    start: Start, make_module: MakeModule, skip: dict[str, str | None], left: list[str]
) -> None:
    reducer = "class {}:\n  name = '{}'\n  def reduce(self, events): return {{}}\n"
    make_module("hostmod.py", reducer.format("One", "one") + reducer.format("Two", "two"))
    make_module("other.py", reducer.format("Three", "three"))
    variable = "hostmod:One,hostmod:Two,other:Three"
    make_module("sitecustomize.py", f"import os; os.environ['PROVARA_PLUGINS'] = '{variable}'")
    host = start()
    found = host.result("discover", skip=[skip])
    assert sorted(plugin["name"] for plugin in found["plugins"]) == sorted(left)
    assert found["problems"] == []
    assert {"plugin": "other:Three", "module": "other"} in host.loading
    if "two" not in left:
        assert not any(one and one["module"] == "hostmod" for one in host.loading)


def test_discovery_reports_and_goes_on(start: Start, make_module: MakeModule, site: Path) -> None:
    make_module("hostmod.py", "raise SystemExit(9)")
    make_module("sitecustomize.py", "import os; os.environ['PROVARA_PLUGINS'] = 'hostmod,other'")
    make_module("other.py", "class Count:\n  name = 'count'\n  def reduce(self, e): return {}")
    found = start().result("discover")
    (problem,) = [p for p in found["problems"] if p["plugin"] == "hostmod"]
    assert problem["kind"] == "load"
    assert problem["text"] == (
        "ERROR: Plugin 'hostmod' could not be loaded.\n"
        "  SystemExit: 9\n"
        "  Object: hostmod\n"
        "  Source: PROVARA_PLUGINS (hostmod)\n"
        "Fix: Repair the plugin, or take it out of PROVARA_PLUGINS."
    )
    assert "count" in [plugin["name"] for plugin in found["plugins"]]


def test_nothing_is_loaded_before_it_was_noted(
    start: Start, make_module: MakeModule, tmp_path: Path
) -> None:
    """What a plugin prints is its own only if its name was known before."""
    mark = tmp_path / "ran"
    make_module("hostmod.py", f"open({str(mark)!r}, 'w').close()")
    host = start()
    host.next_id += 1
    host.send(json.dumps({"id": host.next_id, "op": "discover"}).encode())
    loading = host.receive()["loading"]
    while loading is not None and loading["module"] != "hostmod":
        host.note()
        loading = host.receive()["loading"]
    assert loading == {"plugin": "hostmod", "module": "hostmod"}
    host.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        host.receive()
    assert not mark.exists()
    host.socket.settimeout(None)
    host.note()
    assert host.receive()["loading"] == {"plugin": "hostmod", "module": None}
    assert mark.exists()


def test_a_host_that_is_left_alone_ends(start: Start) -> None:
    host = start()
    host.send(json.dumps({"id": 1, "op": "discover"}).encode())
    assert host.receive()["loading"] is not None
    assert host.close() == (0, "", "")


def test_a_plugin_cannot_interrupt_discovery(start: Start, make_module: MakeModule) -> None:
    make_module("hostmod.py", "raise KeyboardInterrupt")
    assert [p["plugin"] for p in start().result("discover")["problems"]] == ["hostmod"]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("True", {"valid": True}),
        ("1", {"valid": True}),
        ("False", {"valid": False, "reason": "validate() returned False"}),
        ("None", {"valid": False, "reason": "validate() returned None: is a return missing?"}),
        ("[]", {"valid": False, "reason": "validate() returned a false value of type list"}),
        ("fail(ValueError('not so'))", {"valid": False, "reason": "not so"}),
        ("fail(AssertionError())", {"valid": False, "reason": "AssertionError"}),
        ("fail(type('E', (Exception,), {'message': 'short'})('l'))",
         {"valid": False, "reason": "short"}),
        ("data == {'do': data['do'], 'n': [1, 2.5, None, 10**20]}", {"valid": True}),
        # As events() gives it: what may have been a float when it was appended is one.
        ("[type(n) for n in data['n']] == [int, float, type(None), float]", {"valid": True}),
    ],
)  # fmt: skip
def test_validate(host: Host, code: str, result: dict[str, Any]) -> None:
    data = {"do": code, "n": [1, 2.5, None, 10**20]}
    reply = host.result("validate", type="com.host.login", data=data)
    assert reply.pop("tried", None) is None
    assert reply == result


def test_validate_that_exits(host: Host) -> None:
    error = host.error("validate", type="com.host.login", data={"do": "sys.exit(3)"})
    assert error["kind"] == "exit"
    assert error["plugin"] == "com.host.login"
    assert error["exception"] == "SystemExit"
    assert host.result("validate", type="com.host.login", data={"do": "True"}) == {"valid": True}


@pytest.mark.parametrize(
    ("code", "tried"),
    [
        # Root, too, may not execute a file that nobody may execute.
        ("__import__('subprocess').run(['/etc/passwd'])", "('/etc/passwd')"),
        ("fail(PermissionError(13, 'Permission denied', '/secret'))", "to reach '/secret'"),
        ("open('/no/such/file')", None),
        ("fail(ValueError('no'))", None),
    ],
)
def test_a_refusal_by_the_system_names_the_call(host: Host, code: str, tried: str | None) -> None:
    reply = host.result("validate", type="com.host.login", data={"do": code})
    assert reply["valid"] is False
    if tried is None:
        assert reply["tried"] is None
    else:
        assert tried in reply["tried"]


@pytest.fixture
def log(vault: Vault) -> Iterator[tuple[int, int]]:
    """A descriptor of a log with four events, and its length."""
    for number in range(2):
        vault.append("com.a.b", {"n": number}, allow_unregistered=True)
    fd = os.open(vault.log_path, os.O_RDONLY)
    yield fd, os.fstat(fd).st_size
    os.close(fd)


def test_reduce_reads_the_descriptor_up_to_the_length(
    start: Start, log: tuple[int, int], vault: Vault
) -> None:
    fd, length = log
    vault.append("com.a.late", {}, allow_unregistered=True)
    host = start((fd,))
    for _ in range(2):  # the position of the descriptor is not used up
        result = host.result("reduce", name="reducer", log_fd=fd, log_length=length, log_chunk=64)
        assert json.loads(result["output_json"]) == {
            "events": ["GENESIS", "OBSERVATION", "com.a.b", "com.a.b"],
            "kind": "EventReader",
        }


@pytest.mark.parametrize(
    ("name", "kind", "exception", "message"),
    [
        ("raises", "raised", "KeyError", "'here'"),
        ("exits", "exit", "SystemExit", "7"),
        ("interrupts", "exit", "KeyboardInterrupt", ""),
        ("hostile", "raised", "Hostile", "(the text cannot be had: SystemExit)"),
        ("recursive", "raised", "RecursionError", "maximum recursion depth exceeded"),
        ("none", "not_json", None, "reduce() returned None: is a return missing?"),
        ("nan", "not_json", None,
         "reduce() returned what is not JSON: a[1]: NaN is not JSON"),
        ("keys", "not_json", None,
         "reduce() returned what is not JSON: a: the key 1 is of type int, not a string"),
        ("set", "not_json", None,
         "reduce() returned what is not JSON: an object of type set is not JSON"),
        ("surrogate", "not_json", None,
         "reduce() returned what is not JSON: a: a string with a lone surrogate is not JSON"),
        ("cycle", "not_json", None, "nested deeper than 128 levels (or within itself)"),
        ("absent", "not_found", None, "no plugin provides the reducer 'absent'"),
    ],
)  # fmt: skip
def test_a_reducer_that_fails_is_answered_for(
    start: Start, log: tuple[int, int], name: str, kind: str, exception: str | None, message: str
) -> None:
    fd, length = log
    host = start((fd,))
    error = host.error("reduce", name=name, log_fd=fd, log_length=length, log_chunk=64)
    assert error["kind"] == kind
    assert error["plugin"] == name
    assert error["exception"] == exception
    assert message in error["message"]
    if name == "raises":
        assert "hostmod.py" in error["traceback"]
        assert "_host.py" not in error["traceback"]
    # The host goes on.
    assert host.result("reduce", name="list", log_fd=fd, log_length=length, log_chunk=64) == {
        "output_json": '[4,1.0,true,null,"x"]'
    }


def test_events_are_fresh(start: Start, log: tuple[int, int]) -> None:
    fd, length = log
    host = start((fd,))
    host.result("reduce", name="mutate", log_fd=fd, log_length=length, log_chunk=64)
    result = host.result("reduce", name="reducer", log_fd=fd, log_length=length, log_chunk=64)
    assert json.loads(result["output_json"])["events"][0] == "GENESIS"


def test_a_broken_log_is_not_the_plugins_fault(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('{"type":"a"}\n{"type":}\n')
    fd = os.open(path, os.O_RDONLY)
    try:
        host = start((fd,))
        length = path.stat().st_size
        error = host.error("reduce", name="list", log_fd=fd, log_length=length, log_chunk=64)
        assert error["kind"] == "internal"
        assert error["message"].startswith("line 2 of the log: ")
        error = host.error("reduce", name="list", log_fd=fd, log_length=1_000_000, log_chunk=64)
        assert error["kind"] == "internal"
    finally:
        os.close(fd)


def test_printing_is_not_the_protocol(start: Start, log: tuple[int, int]) -> None:
    fd, length = log
    host = start((fd,))
    host.result("reduce", name="prints", log_fd=fd, log_length=length, log_chunk=64)
    host.result("reduce", name="closes", log_fd=fd, log_length=length, log_chunk=64)
    assert host.result("hello", protocol=2)["protocol"] == 2
    assert host.close() == (0, "to stdout\n", "to stderr\n")


def test_the_protocol_is_kept_away_from_plugins(start: Start, log: tuple[int, int]) -> None:
    fd, length = log
    host = start((fd,))

    def ask(name: str) -> Any:
        reply = host.result("reduce", name=name, log_fd=fd, log_length=length, log_chunk=64)
        return json.loads(reply["output_json"])

    assert ask("descriptors") == []
    assert len(ask("argv")) == 1
    assert "/" not in ask("path")
    assert "" not in ask("path")


def test_threads_do_not_delay_the_end(start: Start, log: tuple[int, int]) -> None:
    fd, length = log
    host = start((fd,))
    host.result("reduce", name="threads", log_fd=fd, log_length=length, log_chunk=64)
    assert host.close()[0] == 0


def test_export(host: Host, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = {"vault_path": "/nowhere", "output_path": str(output)}
    assert host.result("export", name="write", **arguments) == {}
    assert output.stat().st_size == 100_000
    error = host.error("export", name="raises", **arguments)
    assert (error["kind"], error["exception"], error["message"]) == ("raised", "OSError", "disk")
    assert host.error("export", name="absent", **arguments)["kind"] == "not_found"


def test_names_are_found_in_any_case(host: Host) -> None:
    data = {"do": "True"}
    assert host.result("validate", type="COM.HOST.LOGIN", data=data) == {"valid": True}
    assert host.error("validate", type="com.no.such", data=data)["kind"] == "not_found"


def test_unknown_operations(host: Host) -> None:
    assert host.error("dance")["kind"] == "internal"
    assert host.error("reduce")["kind"] == "raised"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"id":1,"id":2,"op":"hello"}', b"\xff", b"", b"x" * 10]
)
def test_frames_that_are_no_requests_end_the_host(host: Host, body: bytes) -> None:
    host.send(body)
    out, err = host.process.communicate(timeout=30)
    assert host.process.returncode == 1
    assert out == b""
    assert err.startswith(b"provara plugin host: ")


def test_an_oversized_frame_ends_the_host(host: Host) -> None:
    host.socket.sendall((64 * 1024 * 1024 + 1).to_bytes(4, "big"))
    assert host.process.wait(timeout=30) == 1


def test_the_end_of_the_stream_ends_the_host(start: Start) -> None:
    host = start()
    host.socket.sendall(b"\0\0")
    assert host.close() == (0, "", "")


@pytest.mark.parametrize("arguments", [[], ["--protocol-fd"], ["--protocol-fd", "x"], ["x", "3"]])
def test_it_is_not_a_program_for_people(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "provara.plugins._host", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PROVARA_HOST": "1"},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")
