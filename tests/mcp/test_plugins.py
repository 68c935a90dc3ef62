"""The example package through MCP: typed tools end to end, failures as tool errors, changes noticed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import Make
from support import ROOT, Environment, descendants
from support_mcp import Heard, Server, connected, eventually, over_http, text
from test_client import CORE, call, refused

LOGIN = {"user_id": "alice", "success": False, "ip_address": "192.168.1.1"}
TYPED = [
    "append_com_acme_audit_login",
    "append_com_acme_audit_logout",
    "reduce_com_acme_compliance_monitor",
    "export_csv",
    "export_siem_splunk",
]
MISBEHAVING = ROOT / "tests" / "e2e" / "misbehaving"
MODULES = ROOT / "tests" / "mcp" / "modules"
# The tools of modules/slow.py.
SLOW = ["append_com_example_slow_event", "reduce_com_example_slow"]


def test_typed_tools(acme: Make, vault: Path, tmp_path: Path, transport: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    server = acme("--vault", vault, "--export-dir", out)

    async def run() -> None:
        async with connected(server, transport) as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert list(tools) == [*CORE, "export_vault", *TYPED]
            schema = tools[TYPED[0]].input_schema
            assert schema["required"] == ["user_id", "success", "ip_address"]
            assert schema["properties"]["ip_address"]["format"] == "ipv4"
            receipt = await call(session, TYPED[0], **LOGIN)
            assert receipt["event_type"] == "com.acme.audit.login"
            event = await call(session, "get_event", event_id=receipt["event_id"])
            assert event["event"]["payload"] == LOGIN
            by_alias = await call(session, "append_event", type="login", data=LOGIN)
            assert by_alias["event_type"] == "com.acme.audit.login"
            reduced = await call(session, TYPED[2])
            assert reduced["result"]["total_violations"] == 2
            assert reduced["by"] == "acme-provara-plugins v1.0.0"
            same = await call(session, "reduce_vault", reducer="com.acme.compliance.monitor")
            assert same["result"] == reduced["result"]
            told = server.run("reduce", vault, "--plugin", "com.acme.compliance.monitor")
            assert json.loads(told.stdout) == reduced["result"]
            exported = await call(session, "export_csv", name="events.csv")
            assert exported["by"] == "acme-provara-plugins v1.0.0"
            assert (out / "events.csv").read_text().count("com.acme.audit.login") == 2
            exported = await call(session, "export_siem_splunk", name="splunk.json")
            assert (out / "splunk.json").stat().st_size == exported["bytes"] > 0
            assert sorted(os.listdir(out)) == ["events.csv", "splunk.json"]

    anyio.run(run)
    assert server.run("verify", vault).returncode == 0


def test_bad_data_is_told_as_the_specification_says(
    acme: Make, vault: Path, transport: str
) -> None:
    server = acme("--vault", vault)

    async def run() -> None:
        async with connected(server, transport) as session:
            # The client's own check is not relied on: the server's is what is tested.
            words = await refused(session, TYPED[0], **LOGIN | {"ip_address": "192.168.1"})
            assert words == (
                "ERROR: Event validation failed for type 'com.acme.audit.login'.\n"
                "  Field: 'ip_address'\n"
                "  Error: '192.168.1' is not a valid IPv4 address\n"
                "  Schema: com.acme.audit.login v1.0\n"
                "Fix: Correct the payload to match the schema."
            )
            words = await refused(session, TYPED[0])
            assert "Missing required field 'user_id'" in words
            assert words == await refused(
                session, "append_event", type="com.acme.audit.login", data={}
            )

    before = (vault / "events" / "events.ndjson").read_bytes()
    anyio.run(run)
    assert (vault / "events" / "events.ndjson").read_bytes() == before


def test_several_vaults_wrap_the_schema(acme: Make, vault: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    server = acme("--vault", f"a={vault}", "--vault", f"b={other}")
    assert server.run("init", other).returncode == 0

    async def run() -> None:
        async with connected(server, "stdio") as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            schema = tools[TYPED[0]].input_schema
            assert schema["required"] == ["vault", "data"]
            assert schema["properties"]["vault"]["enum"] == ["a", "b"]
            assert schema["properties"]["data"]["required"] == list(LOGIN)
            receipt = await call(session, TYPED[0], vault="b", data=LOGIN)
            assert receipt["vault"] == "b"
            await refused(session, TYPED[0], data=LOGIN)
            await refused(session, TYPED[0], vault="b")
            await refused(session, TYPED[0], vault="c", data=LOGIN)

    anyio.run(run)


def with_modules(server: Server, directory: Path, *modules: str) -> Server:
    server.environment["PYTHONPATH"] = str(directory)
    server.environment["PROVARA_PLUGINS"] = ",".join(modules)
    return server


BROKEN = "the plugin is broken"
EXITED = "tried to exit the process"
# What each tool of a module answers: a part of the error, or nothing where it succeeds.
ANSWERS: dict[str, dict[str, str | None]] = {
    "raises": {
        "append_com_example_raises_event": BROKEN,
        "reduce_com_example_raises_reducer": BROKEN,
        "export_raises": BROKEN,
    },
    "exits": {
        "append_com_example_exits_event": EXITED,
        "reduce_com_example_exits_reducer": EXITED,
        "export_exits": EXITED,
    },
    "killed": {
        "append_com_example_killed_event": "SIGKILL",
        "reduce_com_example_killed_reducer": "SIGKILL",
        "export_killed": "SIGKILL",
    },
    "not_json": {
        f"reduce_com_example_not_json_{kind}": "com.example.not_json."
        for kind in ("set", "nan", "infinity", "key", "cycle", "surrogate", "date")
    }
    # Integers of any length are JSON.
    | {"reduce_com_example_not_json_integer": None},
    "prints": {
        "append_com_example_prints_event": None,
        "reduce_com_example_prints_reducer": None,
        "export_prints": None,
    },
    "refuses": {
        "append_com_example_refuses_with_false": "False",
        "append_com_example_refuses_with_exception": "the amount is above the limit",
    },
}


@pytest.mark.parametrize("module", ANSWERS)
def test_a_misbehaving_plugin_breaks_nothing(
    acme: Make, vault: Path, tmp_path: Path, module: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    server = acme("--vault", vault, "--export-dir", out)
    with_modules(server, MISBEHAVING, module, "good")

    async def run() -> None:
        async with connected(server, "stdio") as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            brought = {name for name in tools if f"{module}" in name}
            assert brought == set(ANSWERS[module])
            for name, words in ANSWERS[module].items():
                arguments = {"name": "x"} if name.startswith("export_") else {}
                result = await session.call_tool(name, arguments)
                assert result.is_error == (words is not None), text(result)
                if words is None:
                    continue
                assert text(result).startswith("ERROR: ") and words in text(result), text(result)
                if name.startswith("reduce_"):
                    plugin = str(tools[name].title).removeprefix("Reduce with ")
                    told = server.run("reduce", vault, "--plugin", plugin)
                    errors = told.stderr.split("ERROR: ", 1)[1]
                    assert text(result) == "ERROR: " + errors.strip()
            receipt = await call(session, TYPED[0], **LOGIN)
            assert receipt["event_type"] == "com.acme.audit.login"

    anyio.run(run)
    assert [path.name for path in out.iterdir()] == (["x"] if module == "prints" else [])
    assert server.run("verify", vault).returncode == 0


@pytest.mark.parametrize("module", ["killed_at_import", "hangs_at_import"])
def test_a_plugin_that_cannot_be_loaded_costs_itself(
    acme: Make, vault: Path, tmp_path: Path, module: str
) -> None:
    """It is tried once, not by each call's host."""
    limit = 4
    out = tmp_path / "out"
    out.mkdir()
    options = ["--export-dir", out, "--timeout", str(limit), "--allow-unregistered"]
    server = acme("--vault", vault, *options)
    with_modules(server, MISBEHAVING, module, "good")

    async def run() -> None:
        async with connected(server, "stdio") as session:
            (problem,) = (await call(session, "list_plugins"))["problems"]
            assert problem.startswith(f"ERROR: Plugin '{module}' could not be loaded.\n")
            assert "It had said that it was loading this one." in problem
            begun = time.monotonic()
            await call(session, "append_com_example_good_event", n=1)
            reduced = await call(session, "reduce_com_example_good_reducer")
            assert reduced["result"] == {"events": 3}
            await call(session, "export_good", name="x")
            assert time.monotonic() - begun < 3 * limit
            receipt = await call(session, "append_event", type="com.example.wanted", data={})
            assert receipt["notes"] == [
                "The data was not judged. The type may be of plugins that cannot be used: "
                f"'{module}' ('list_plugins')."
            ]
            words = await refused(session, "append_event", type="wanted", data={})
            assert problem.splitlines()[0] in words
            words = await refused(session, "reduce_vault", reducer="com.example.wanted")
            assert problem.splitlines()[0] in words

    anyio.run(run)
    assert (out / "x").read_text() == "3 events\n"


def test_a_type_whose_schema_cannot_be_used_takes_no_data(
    plain: Make, vault: Path, tmp_path: Path
) -> None:
    """Also where types that no plugin defines are appended: a plugin defines this one."""
    (tmp_path / "unusable.py").write_text(
        "class Broken:\n"
        "    name = 'com.example.broken'\n"
        "    schema = {'type': 'objekt'}\n"
        "    def validate(self, data): return True\n"
    )
    server = with_modules(plain("--vault", vault, "--allow-unregistered"), tmp_path, "unusable")

    async def run() -> None:
        async with connected(server, "stdio") as session:
            words = await refused(session, "append_event", type="com.example.broken", data={})
            assert "The plugin that defines the event type 'com.example.broken'" in words
            assert "'objekt'" in words and "Fix: Correct the plugin's JSON Schema." in words

    anyio.run(run)


def test_where_no_plugin_can_be_used_nobody_judges(plain: Make, vault: Path) -> None:
    server = plain("--vault", vault, "--allow-unregistered")

    async def run(notes: list[str]) -> None:
        async with connected(server, "stdio") as session:
            receipt = await call(session, "append_event", type="com.example.wanted", data={})
            assert receipt["notes"] == notes

    anyio.run(run, [])
    server.environment["PROVARA_PYTHON"] = "/nowhere/python3"
    told = "The type may be of the plugins, none of which can be used ('list_plugins')."
    anyio.run(run, [f"The data was not judged. {told}"])


def texts(value: Any) -> list[str]:
    """Every text in a JSON value, the names of members among them."""
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in texts(item))]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


UNSAFE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize("vaults", ["one", "several"])
def test_a_hostile_plugin_harms_no_client(
    acme: Make, vault: Path, tmp_path: Path, vaults: str
) -> None:
    """What its schemas say is safe to show and bounded; those that go in circles can be applied."""
    (tmp_path / "made").mkdir()
    options = ["--init-dir", tmp_path / "made"] if vaults == "several" else []
    server = with_modules(acme("--vault", f"v={vault}", *options), MODULES, "hostile")

    async def run() -> None:
        async with connected(server, "stdio") as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            kinds = ("cycle", "itself", "long", "texts", "wide")
            names = {kind: f"append_com_example_hostile_{kind}" for kind in kinds}
            assert set(names.values()) <= set(tools)
            for tool in tools.values():
                told = tool.model_dump(mode="json")
                assert not [text for text in texts(told) if UNSAFE.search(text)], tool.name
                assert len(json.dumps(told)) < 16 << 10, tool.name

            def sent(data: dict[str, Any]) -> dict[str, Any]:
                return {"vault": "v", "data": data} if vaults == "several" else data

            for name in names.values():
                words = await refused(session, name, **sent({"refuse": True}))
                assert "evil" in words and not UNSAFE.search(words)
                await call(session, name, **sent({}))
            # What is too long to be shown is applied all the same.
            for kind in ("wide", "long", "texts"):
                await refused(session, names[kind], **sent({"p7" if kind == "wide" else "a": 7}))
            await refused(session, names["itself"], **sent({"a": {"a": 7}}))
            await call(session, names["itself"], **sent({"a": {"a": {}}}))
            await session.call_tool(names["cycle"], sent({"a": {"a": 7}}))
            given = {"vault": "v"} if vaults == "several" else {}
            result = await session.call_tool("reduce_com_example_hostile_state", given)
            assert "evil" in text(result) and not UNSAFE.search(text(result))
            assert json.loads(text(result)) == result.structured_content

    anyio.run(run)
    assert server.run("verify", vault).returncode == 0


def hosts(server: int) -> set[int]:
    """The interpreters among a server's descendants; the process that applies schemas is none."""
    return {
        pid
        for pid in descendants(server)
        if b"provara.plugins._host" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }


def test_the_host_is_kept_warm_and_restarted(acme: Make, vault: Path) -> None:
    server = acme("--vault", vault)

    async def run() -> None:
        with server.http() as running:
            async with over_http(running) as session:
                await session.list_tools()
                first = hosts(running.process.pid)
                assert len(first) == 1
                for _ in range(3):
                    await call(session, TYPED[0], **LOGIN)
                assert hosts(running.process.pid) == first
                os.kill(min(first), signal.SIGKILL)
                await call(session, TYPED[0], **LOGIN)
                second = hosts(running.process.pid)
                assert len(second) == 1 and second != first

    anyio.run(run)


def test_a_call_can_be_cancelled(acme: Make, vault: Path) -> None:
    server = with_modules(acme("--vault", vault), MODULES, "slow")

    async def run() -> None:
        with server.http() as running:
            async with over_http(running) as session:
                await session.list_tools()
                warm = descendants(running.process.pid)
                heard: list[float] = []

                async def hear(progress: float, total: float | None, message: str | None) -> None:
                    heard.append(progress)

                with anyio.move_on_after(3) as scope:
                    await session.call_tool(SLOW[1], {}, progress_callback=hear)
                assert scope.cancelled_caught
                # It went on telling that it works, ever further.
                assert len(heard) >= 3 and heard == sorted(set(heard))
                await eventually(lambda: descendants(running.process.pid) == warm)
                await call(session, TYPED[0], **LOGIN)

    anyio.run(run)


def test_a_slow_plugin_is_ended(acme: Make, vault: Path) -> None:
    server = with_modules(acme("--vault", vault, "--timeout", "2"), MODULES, "slow")

    async def run() -> None:
        async with connected(server, "stdio") as session:
            words = await refused(session, SLOW[0])
            assert "did not finish within 2 s" in words
            await call(session, TYPED[0], **LOGIN)

    anyio.run(run)


def upgraded(directory: Path) -> Path:
    """The example package's next version, whose schema says more."""
    package = ROOT / "examples" / "acme-provara-plugins"
    copy = directory / package.name
    leave = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(package, copy, ignore=leave)
    for name, before, after in (
        ("pyproject.toml", 'version = "1.0.0"', 'version = "1.0.1"'),
        (
            "acme_provara_plugins/login_event.py",
            '"description": "From where"',
            '"description": "A"',
        ),
    ):
        text = (copy / name).read_text()
        assert before in text
        (copy / name).write_text(text.replace(before, after, 1))
    return copy


def test_installs_are_noticed(executable: Path, vault: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv", "setuptools", "wheel")
    server = Server(executable, tmp_path / "home", environment.python, "--vault", vault)

    async def run() -> None:
        heard = Heard()

        def changes() -> int:
            return heard.methods().count("notifications/tools/list_changed")

        async with connected(server, "http", heard) as session:
            assert [tool.name for tool in (await session.list_tools()).tools] == CORE
            package = ROOT / "examples" / "acme-provara-plugins"
            await anyio.to_thread.run_sync(environment.install_package, package)
            await eventually(lambda: changes() >= 1, 30)
            names = [tool.name for tool in (await session.list_tools()).tools]
            assert names == [*CORE, *(name for name in TYPED if "export" not in name)]
            await call(session, TYPED[0], **LOGIN)
            heard.notifications.clear()
            await anyio.to_thread.run_sync(environment.install_package, upgraded(tmp_path))
            await eventually(lambda: changes() >= 1, 30)
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert "v1.0.1" in str(tools[TYPED[0]].description)
            address = tools[TYPED[0]].input_schema["properties"]["ip_address"]
            assert address["description"] == "A"
            heard.notifications.clear()
            await anyio.to_thread.run_sync(
                lambda: environment.pip("uninstall", "--yes", "acme-provara-plugins")
            )
            await eventually(lambda: changes() >= 1, 30)
            assert [tool.name for tool in (await session.list_tools()).tools] == CORE

    anyio.run(run)
    shutil.rmtree(environment.directory)
