"""What agents run into: schemas that APIs refuse, long lists and answers, arguments as text, batches."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import hard
import httpx2
import many
import pytest
from conftest import Make
from support import descendants
from support_mcp import Server, connected, over_http, text
from test_client import DOOR, call, refused
from test_node import node
from test_node import pytestmark as needs_node
from test_plugins import LOGIN, MODULES, TYPED, with_modules

DECIDING = [
    "KEY_REVOCATION",
    "KEY_PROMOTION",
    "REDUCER_EPOCH",
    "com.provara.vault.seal",
    "Com.Provara.Vault.Seal",
    "com.provara.redaction",
    "com.provara.key.added",
    "com.provara.vault.adopted",
    "com.provara.vault.files",
]
EPOCH = {"epoch_id": "e1", "reducer_hash": "h"}
#: The most bytes of text in one message.
LIMIT = 64_000


def test_what_decides_about_a_vault_is_the_owners(plain: Make, vault: Path) -> None:
    before = (vault / "events" / "events.ndjson").read_bytes()

    async def withheld() -> None:
        options = ["--vault", vault, "--allow-unregistered"]
        async with connected(plain(*options), "stdio") as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            described = str(tools["append_event"].description)
            assert "RECEIPT" in described and "KEY_" not in described
            for event_type in DECIDING:
                words = await refused(session, "append_event", type=event_type, data=EPOCH)
                assert f"An event of type {event_type} is not appended for an agent." in words
                assert "--allow-admin" in words and "the owner's to decide" in words

    anyio.run(withheld)
    assert (vault / "events" / "events.ndjson").read_bytes() == before

    async def allowed() -> None:
        server = plain("--vault", vault, "--allow-admin", "--allow-unregistered")
        async with connected(server, "stdio") as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert "KEY_REVOCATION" in str(tools["append_event"].description)
            await call(session, "append_event", type="REDUCER_EPOCH", data=EPOCH)
            words = await refused(session, "append_event", type="KEY_REVOCATION", data={})
            assert "--allow-admin" not in words
            await call(session, "append_event", type="com.provara.vault.seal", data={})

    anyio.run(allowed)
    assert plain().run("verify", vault).returncode == 0


def test_a_configuration_can_say_so(plain: Make, vault: Path) -> None:
    install: list[str | Path] = ["mcp", "install", "--client", "cursor", "--vault", vault]
    plainly = plain().run(*install)
    assert plainly.returncode == 0 and "--allow" not in plainly.stdout
    told = plain().run(*install, "--allow-admin", "--allow-unregistered")
    arguments = json.loads(told.stdout)["mcpServers"]["provara"]["args"]
    assert {"--allow-admin", "--allow-unregistered"} <= set(arguments)


def hard_server(make: Make, *options: str | Path) -> Server:
    return with_modules(make(*options), MODULES, "hard")


@pytest.mark.parametrize("vaults", ["one", "several"])
def test_hard_schemas(acme: Make, vault: Path, tmp_path: Path, vaults: str) -> None:
    """Every one of them is listed as APIs take it (`strict` looks), and applied to the letter."""
    options: list[str | Path] = ["--init-dir", tmp_path] if vaults == "several" else []
    server = hard_server(acme, "--vault", f"v={vault}", *options)
    flat = {
        "reference",
        "tree",
        "booleans",
        "tuple",
        "old_tuple",
        "pattern",
        "identified",
        "header",
    }

    async def run() -> None:
        async with connected(server, "stdio") as session:
            tools = (await session.list_tools()).tools
            types = (await call(session, "list_plugins"))["event_types"]
            names = {kind["name"].split(".")[-1]: kind["tool"] for kind in types}
            assert set(hard.SCHEMAS) <= set(names)
            described = {tool.name: tool for tool in tools}
            for name, (schema, good, bad) in hard.SCHEMAS.items():
                shown = described[names[name]].input_schema
                wrapped = "data" in shown["properties"]
                assert wrapped or vaults == "one"
                assert vaults == "several" or wrapped != (name in flat or len(name) > 20), name

                def sent(data: dict[str, Any], wrapped: bool = wrapped) -> dict[str, Any]:
                    given = {"vault": "v"} if vaults == "several" else {}
                    return given | ({"data": data} if wrapped else data)

                receipt = await call(session, names[name], **sent(good))
                assert receipt["event_type"] == f"com.example.hard.{name}"
                words = await refused(session, names[name], **sent(bad))
                assert "Event validation failed" in words or "came as a text" in words
                whole = await call(session, "describe_event_type", type=f"com.example.hard.{name}")
                assert whole["schema"] == schema and whole["tool"] == names[name]
            schema = described[names["tree"]].input_schema
            if vaults == "one":
                node_schema = schema["properties"]["root"]["properties"]
                assert node_schema == {
                    "name": {"type": "string"},
                    "children": {"type": "array"},
                }
                assert schema["properties"]["idempotency_key"]["type"] == "string"
                assert "describe_event_type" in str(described[names["tree"]].description)

    anyio.run(run)
    assert server.run("verify", vault).returncode == 0


@needs_node
def test_hard_schemas_through_both_typescript_clients(acme: Make, vault: Path) -> None:
    server = with_modules(acme("--vault", vault), MODULES, "hard", "many")
    told = {"command": str(server.executable), "args": server.arguments}
    seen = json.loads(node("schemas.mjs", json.dumps(told | {"env": server.environment})))
    assert seen["sdk"] == seen["client"]
    assert "append_com_example_hard_one_of" in seen["sdk"]


def test_a_repeated_call_of_a_typed_tool_appends_once(acme: Make, vault: Path) -> None:
    async def run() -> None:
        async with connected(acme("--vault", vault), "stdio") as session:
            first = await call(session, TYPED[0], **LOGIN, idempotency_key="k1")
            again = await call(session, TYPED[0], **LOGIN, idempotency_key="k1")
            assert again["event_id"] == first["event_id"] and again["repeated"]
            event = await call(session, "get_event", event_id=first["event_id"])
            assert event["event"]["payload"] == LOGIN
            assert event["event"]["idempotency_key"] == "k1"
            for key in ("", "x" * 1025, 7):
                words = await refused(session, TYPED[0], **LOGIN, idempotency_key=key)
                assert "operator" not in words
            # The agent chose the key.
            other = LOGIN | {"user_id": "bob"}
            words = await refused(session, TYPED[0], **other, idempotency_key="k1")
            assert "\nFix: Give what is new a new key;" in words, words

    anyio.run(run)


def test_the_list_fits_whatever_is_installed(acme: Make, vault: Path, tmp_path: Path) -> None:
    """The types that the vault has most of come first, and what is left out can be used all the same."""
    server = with_modules(acme("--vault", vault), MODULES, "many")
    used = [many.COUNT - 1, many.COUNT - 3]
    lines = [
        {"type": f"com.example.many.type{number:02}", "data": {"n": at}}
        for number in used
        for at in range(3)
    ]
    batch = tmp_path / "batch.ndjson"
    batch.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = server.run("append", vault, "--batch", batch)
    assert done.returncode == 0, done.stderr

    async def run() -> None:
        async with connected(server, "stdio") as session:
            names = [tool.name for tool in (await session.list_tools()).tools]
            assert {f"append_com_example_many_type{number:02}" for number in used} <= set(names)
            assert "reduce_com_example_many_said" in names
            listed = [name for name in names if "many_type" in name]
            assert 10 < len(listed) < many.COUNT
            again = [tool.name for tool in (await session.list_tools()).tools]
            assert again == names
            types = (await call(session, "list_plugins"))["event_types"]
            tools = {kind["name"]: kind.get("tool") for kind in types}
            left_out = next(name for name, tool in tools.items() if "many" in name and not tool)
            receipt = await call(session, "append_event", type=left_out, data={"n": 1})
            assert receipt["event_type"] == left_out
            await refused(session, "append_event", type=left_out, data={})
            # One that had room before may still be called.
            await call(session, f"append_{left_out.replace('.', '_')}", n=1)

    anyio.run(run)


async def whole(session: Any, tool: str, /, **arguments: Any) -> tuple[dict[str, Any], int]:
    """A long answer joined out of its parts, and how many there were."""
    parts: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        result = await session.call_tool(tool, arguments | cursor)
        assert not result.is_error, text(result)
        assert len(text(result).encode()) <= LIMIT
        answer = result.structured_content
        if "part" not in answer:
            assert not parts
            return dict(answer), 1
        parts.append(answer["part"])
        if "next_cursor" not in answer:
            joined = "".join(parts)
            assert len(joined.encode()) == answer["part_of_bytes"]
            return dict(json.loads(joined)), len(parts)
        cursor = {"cursor": answer["next_cursor"]}


def test_long_answers_come_in_parts(acme: Make, vault: Path) -> None:
    server = with_modules(acme("--vault", vault), MODULES, "many")
    long = DOOR | {"value": '\x1b\u202e"é' * 20_000}

    async def run() -> None:
        async with connected(server, "stdio") as session:
            name = f"com.example.many.type{many.COUNT - 1:02}"
            described, parts = await whole(session, "describe_event_type", type=name)
            assert described["schema"] == many._schema(many.COUNT - 1) and parts > 1
            path = "/properties/member1/properties/part0"
            some = await call(session, "describe_event_type", type=name, path=path)
            assert some["schema"] == many._leaf((many.COUNT - 1) % 7)
            await refused(session, "describe_event_type", type=name, path="/nowhere")
            await refused(session, "describe_event_type", type="com.example.nothing")
            contents: Any = (await session.read_resource(f"provara://vault/types/{name}")).contents
            assert json.loads(contents[0].text) == described["schema"]
            receipt = await call(session, "append_event", type="OBSERVATION", data=long)
            for tool in ("get_event", "show_event"):
                found, parts = await whole(session, tool, event_id=receipt["event_id"])
                assert found["event"]["payload"] == long and parts > 1
            page = await call(session, "query_events")
            newest = page["events"][0]
            assert newest["event_id"] == receipt["event_id"] and newest["bytes"] > LIMIT
            assert len(page["events"]) == 3
            reduced, parts = await whole(session, "reduce_com_example_many_long")
            assert len(reduced["result"]["lines"]) == 6000 and parts > 3
            # A cursor of one answer does not fit another.
            first = await session.call_tool("reduce_com_example_many_long", {})
            cursor = first.structured_content["next_cursor"]
            await call(session, "append_event", type="OBSERVATION", data=DOOR)
            words = await refused(session, "reduce_com_example_many_long", cursor=cursor)
            assert "has changed since" in words

    anyio.run(run)


def test_plugins_say_what_they_are_for(acme: Make, vault: Path) -> None:
    server = with_modules(acme("--vault", vault), MODULES, "many")

    async def run() -> None:
        async with connected(server, "stdio") as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            said = str(tools["reduce_com_example_many_said"].description)
            assert said.endswith("Counts.\\u{1b}[31m In two lines.")
            long = str(tools["reduce_com_example_many_long"].description)
            assert long.endswith("Says much of what it read.")
            reducers = (await call(session, "list_plugins"))["reducers"]
            found = {reducer["name"]: reducer.get("description") for reducer in reducers}
            assert found["com.example.many.long"] == "Says much of what it read."
            assert found["summary"] is None

    anyio.run(run)


def test_arguments_as_text(acme: Make, vault: Path, transport: str) -> None:
    async def run() -> None:
        async with connected(acme("--vault", vault), transport) as session:
            data = json.dumps(DOOR | {"value": 1.5})
            receipt = await call(session, "append_event", type="OBSERVATION", data=data)
            event = await call(session, "get_event", event_id=receipt["event_id"])
            assert event["event"]["payload"]["value"] == 1.5
            page = await call(session, "query_events", limit="2", where="payload.value == 1.5")
            assert [found["event"]["event_id"] for found in page["events"]] == [receipt["event_id"]]
            assert (await call(session, "verify_vault", strict="false"))["valid"]
            # A member of a typed tool whose schema leaves no doubt.
            login = LOGIN | {"success": "false"}
            receipt = await call(session, TYPED[0], **login)
            event = await call(session, "get_event", event_id=receipt["event_id"])
            assert event["event"]["payload"] == LOGIN
            for data in ("{", "[1]", '{"a":1,"a":2}', "text"):
                words = await refused(session, "append_event", type="OBSERVATION", data=data)
                assert "'data' came as a text, and the text is not JSON of an object" in words
            words = await refused(session, "query_events", limit="two")
            assert "'limit' came as a text, and the text is not JSON of a whole number" in words
            # Numbers in a text are held to the same rule as others.
            data = '{"subject":"a","predicate":"b","value":9007199254740993}'
            words = await refused(session, "append_event", type="OBSERVATION", data=data)
            assert "9007199254740993" in words

    anyio.run(run)


#: What a client sends to the tools of modules/shaped.py, and what is appended.
SHAPED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("reading", {"count": "5", "note": "5"}, {"count": 5, "note": "5"}),
    ("reading", {"count": "null", "ratio": "1.50"}, {"count": None, "ratio": 1.5}),
    ("reading", {"flags": "[true, false]", "level": "2"}, {"flags": [True, False], "level": 2}),
    # A text is allowed there, so it is one.
    ("reading", {"either": "7"}, {"either": "7"}),
    ("switch", {"on": "true", "always": "true"}, {"on": True, "always": True}),
    ("switch", {"on": False, "place": "[1]"}, {"on": False, "place": [1]}),
    (
        "switch",
        {"on": "false", "place": "null", "mixed": "1"},
        {"on": False, "place": None, "mixed": "1"},
    ),
]


@pytest.mark.parametrize("beside", [[], ["many"], ["many", "hard"]], ids=len)
def test_texts_are_taken_by_the_whole_schema_of_the_type(
    plain: Make, vault: Path, beside: list[str]
) -> None:
    """Whatever else is installed, and so however short the schema is that the tool shows."""
    server = with_modules(plain("--vault", vault), MODULES, "shaped", *beside)
    # Where there is no room for every type, those have a tool that the log has most of.
    for name, data in (("reading", "{}"), ("switch", '{"on":true}')):
        words: list[str | Path] = [
            "append",
            vault,
            "--type",
            f"com.example.shaped.{name}",
            "--data",
            data,
        ]
        assert server.run(*words).returncode == 0

    async def run() -> None:
        async with connected(server, "stdio") as session:
            kinds = (await call(session, "list_plugins"))["event_types"]
            tools = {kind["name"]: kind.get("tool") for kind in kinds}
            for name, sent, meant in SHAPED:
                event_type = f"com.example.shaped.{name}"
                receipt = await call(session, tools[event_type], **sent)
                event = await call(session, "get_event", event_id=receipt["event_id"])
                assert event["event"]["payload"] == meant
                assert event["event"]["type"] == event_type
            for sent, words in [
                ({"count": "five"}, "'count' came as a text, and the text is not JSON of"),
                ({"count": "5.5"}, "'count' came as a text, and the text is not JSON of"),
                ({"level": "low"}, "'level' came as a text, and the text is not JSON of"),
                # It is JSON of the kind, and not one of the values.
                ({"level": "9"}, "Event validation failed"),
            ]:
                assert words in await refused(session, tools["com.example.shaped.reading"], **sent)

    anyio.run(run)
    assert server.run("verify", vault).returncode == 0


def test_a_member_of_the_name_of_the_key_is_the_datas(plain: Make, vault: Path) -> None:
    server = with_modules(plain("--vault", vault), MODULES, "shaped")

    async def run() -> None:
        async with connected(server, "stdio") as session:
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            tool = tools["append_com_example_shaped_keyed"]
            assert set(tool.input_schema["properties"]) == {"data", "idempotency_key"}
            data = {"idempotency_key": "the data's own"}
            first = await call(session, tool.name, data=data, idempotency_key="k")
            again = await call(session, tool.name, data=data, idempotency_key="k")
            assert first["event_id"] == again["event_id"]
            event = await call(session, "get_event", event_id=first["event_id"])
            assert event["event"]["payload"] == data
            assert "'data'" in await refused(session, tool.name, idempotency_key="k")

    anyio.run(run)


def test_a_name_of_provaras_own_is_not_taken_for_any(plain: Make, vault: Path) -> None:
    server = plain("--vault", vault, "--allow-unregistered", "--allow-admin")

    async def run() -> None:
        async with connected(server, "stdio") as session:
            for name in ("com.provara.new.thing", "Com.Provara.vault.seal"):
                words = await refused(session, "append_event", type=name, data={})
                assert f"The event type '{name}' is not known." in words

    anyio.run(run)


def test_an_event_is_shown_as_at_the_command_line(plain: Make, vault: Path) -> None:
    server = plain("--vault", f"v={vault}")

    async def run() -> None:
        async with connected(server, "stdio") as session:
            receipt = await call(session, "append_event", type="OBSERVATION", data=DOOR)
            shown = await call(session, "show_event", event_id=receipt["event_id"][:12])
            told = json.loads(server.run("show", vault, receipt["event_id"], "--json").stdout)
            assert told.pop("schema") == "provara.show.v1" and shown.pop("vault") == "v"
            assert shown == told
            words = await refused(session, "show_event", event_id="zzz")
            assert "query_events" in words and "provara query" not in words

    anyio.run(run)


def test_reports_say_what_was_verified(plain: Make, vault: Path) -> None:
    server = plain("--vault", vault)

    async def run() -> None:
        async with connected(server, "stdio") as session:
            report = await call(session, "verify_vault")
            told = json.loads(server.run("verify", vault, "--json").stdout)
            assert report["verified"] == told["verified"]
            assert report["allowed"] == 0
            log = vault / "events" / "events.ndjson"
            log.write_bytes(log.read_bytes() + b"{")
            torn = await call(session, "verify_vault", strict=True)
            codes = {finding["code"] for finding in torn["findings"]}
            warnings = [code for code in codes if "_W" in code]
            assert not torn["valid"] and warnings
            allowed = await call(session, "verify_vault", strict=True, allow=warnings)
            known = [it for it in torn["findings"] if it["code"] in warnings]
            assert allowed["allowed"] == len(known) and allowed["warnings"] == 0
            for wrong in ("E003", "W999", "PROVARA_E003"):
                await refused(session, "verify_vault", allow=[wrong])

    anyio.run(run)


def test_no_host_starts_where_no_package_declares_a_plugin(plain: Make, vault: Path) -> None:
    server = plain("--vault", vault, "--allow-unregistered")

    async def run() -> None:
        with server.http() as running:
            async with over_http(running) as session:
                await session.list_tools()
                for number in range(3):
                    data = {"n": number}
                    receipt = await call(session, "append_event", type="com.example.a.b", data=data)
                    assert receipt["notes"] == []
                assert descendants(running.process.pid) == set()
                assert (await call(session, "list_plugins"))["problems"] == []

    anyio.run(run)


def greeting(revision: str) -> dict[str, Any]:
    parameters = {"protocolVersion": revision, "capabilities": {}}
    parameters["clientInfo"] = {"name": "tests", "version": "1"}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": parameters}


INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def ask(number: int, method: str, **parameters: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}


BATCH = [
    ask(1, "ping"),
    {"jsonrpc": "2.0", "method": "notifications/nothing"},
    ask(2, "tools/call", name="append_event", arguments={"type": "OBSERVATION", "data": DOOR}),
    {"jsonrpc": "1.0", "id": 3, "method": "ping"},
    ask(4, "no/such/method"),
    ask(5, "tools/list"),
    greeting("2025-03-26") | {"id": 6},
]


def check_batch(answers: list[dict[str, Any]]) -> None:
    by_id = {answer["id"]: answer for answer in answers}
    assert set(by_id) == {1, 2, 3, 4, 5, 6} and len(answers) == 6
    assert by_id[1]["result"] == {}
    assert by_id[2]["result"]["structuredContent"]["line"] == 3
    errors = {number: by_id[number]["error"]["code"] for number in (3, 4, 6)}
    assert errors == {3: -32600, 4: -32601, 6: -32600}
    assert by_id[5]["result"]["tools"]


def over_lines(server: Server, *lines: Any) -> Iterator[Any]:
    """What is answered to lines over stdio, in order."""
    given = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(
        [server.executable, *server.arguments],
        input=given,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return map(json.loads, done.stdout.splitlines())


def test_batches_over_stdio(plain: Make, vault: Path) -> None:
    server = plain("--vault", vault)
    notices = [{"jsonrpc": "2.0", "method": "notifications/nothing"}] * 2
    lines: tuple[Any, ...] = (greeting("2025-03-26"), INITIALIZED, BATCH, notices, [], [1])
    answers = list(over_lines(server, *lines))
    assert answers[0]["result"]["protocolVersion"] == "2025-03-26"
    lists = [answer for answer in answers if isinstance(answer, list)]
    (whole_batch,) = [answer for answer in lists if len(answer) > 1]
    check_batch(whole_batch)
    (wrong,) = [answer for answer in lists if len(answer) == 1]
    assert wrong[0]["error"]["code"] == -32600
    (empty,) = [answer for answer in answers[1:] if isinstance(answer, dict)]
    assert empty["error"]["code"] == -32600 and empty["id"] is None
    assert server.run("verify", vault).returncode == 0


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-06-18"])
def test_no_other_revision_has_batches(plain: Make, vault: Path, revision: str) -> None:
    lines: tuple[Any, ...] = (greeting(revision), INITIALIZED, [ask(1, "ping")], ask(2, "ping"))
    answers = list(over_lines(plain("--vault", vault), *lines))
    assert all(isinstance(answer, dict) for answer in answers)
    (error,) = [answer["error"] for answer in answers if "error" in answer]
    assert error["code"] == -32600


def test_batches_over_http(plain: Make, vault: Path) -> None:
    accept = {"Accept": "application/json, text/event-stream"}

    async def run() -> None:
        with plain("--vault", vault).http() as running:
            async with httpx2.AsyncClient(headers=accept, timeout=60) as http:

                async def post(message: Any, **headers: str) -> Any:
                    return await http.post(running.url, json=message, headers=headers)

                opened = await post(greeting("2025-03-26"))
                session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
                assert (await post(INITIALIZED, **session)).status_code == 202
                answered = await post(BATCH, **session)
                assert answered.status_code == 200
                check_batch(answered.json())
                notices = [{"jsonrpc": "2.0", "method": "notifications/nothing"}] * 2
                assert (await post(notices, **session)).status_code == 202
                assert (await post([], **session)).status_code == 400
                later = session | {"MCP-Protocol-Version": "2025-06-18"}
                assert (await post([ask(9, "ping")], **later)).status_code == 400

    anyio.run(run)
