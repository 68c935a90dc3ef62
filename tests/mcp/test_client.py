"""The official Python client, over stdio and over HTTP: every tool, every resource, every notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from conftest import Make
from mcp import MCPError
from support_mcp import Heard, connected, eventually, over_http, text

CORE = [
    "append_event",
    "verify_vault",
    "query_events",
    "get_event",
    "show_event",
    "prove_event",
    "tree_head",
    "get_vault_status",
    "replay_beliefs",
    "reduce_vault",
    "list_plugins",
    "describe_event_type",
]
DOOR = {"subject": "door", "predicate": "state", "value": "open"}


async def call(session: Any, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """Calls a tool that must succeed; its text and its structured content say the same."""
    result = await session.call_tool(tool, arguments)
    assert not result.is_error, text(result)
    assert json.loads(text(result)) == result.structured_content
    return dict(result.structured_content)


async def refused(session: Any, tool: str, /, **arguments: Any) -> str:
    """Calls a tool that must refuse, with words and a fix."""
    result = await session.call_tool(tool, arguments)
    assert result.is_error
    words = text(result)
    assert words.startswith("ERROR: ") and "\nFix: " in words, words
    return words


def test_every_core_tool(plain: Make, vault: Path, tmp_path: Path, transport: str) -> None:
    out, vaults = tmp_path / "out", tmp_path / "vaults"
    out.mkdir()
    vaults.mkdir()
    server = plain("--vault", f"main={vault}", "--export-dir", out, "--init-dir", vaults)

    async def run() -> None:
        async with connected(server, transport) as session:
            tools = (await session.list_tools()).tools
            assert [tool.name for tool in tools] == [*CORE, "export_vault", "init_vault"]
            for tool in tools:
                assert tool.title and tool.description and tool.output_schema and tool.annotations
            receipt = await call(
                session, "append_event", vault="main", type="OBSERVATION", data=DOOR
            )
            assert receipt["line"] == 3 and receipt["actor"] == "provara_user"
            event = await call(session, "get_event", vault="main", event_id=receipt["event_id"])
            assert event["event"]["payload"]["value"] == "open"
            assert (await call(session, "verify_vault", vault="main"))["valid"]
            status = await call(session, "get_vault_status", vault="main")
            assert status["event_count"] == 3 and status["types"]["OBSERVATION"] == 2
            beliefs = await call(session, "replay_beliefs", vault="main", key_prefix="door:")
            assert beliefs["beliefs"]["local"]["door:state"]["value"] == "open"
            reduced = await call(session, "reduce_vault", vault="main")
            assert reduced["result"]["event_count"] == 3
            listed = await call(session, "list_plugins")
            assert listed["problems"] == []
            export = await call(
                session, "export_vault", vault="main", format="ndjson", name="log.ndjson"
            )
            log = (vault / "events" / "events.ndjson").read_bytes()
            assert Path(export["output"]).read_bytes() == log
            made = await call(session, "init_vault", name="second")
            assert made["vault"] == "second" and (vaults / "second").is_dir()
            receipt = await call(
                session, "append_event", vault="second", type="OBSERVATION", data=DOOR
            )
            assert receipt["vault"] == "second"

    anyio.run(run)
    assert server.run("verify", vault).returncode == 0
    assert server.run("verify", vaults / "second").returncode == 0


def test_pages(plain: Make, vault: Path, transport: str) -> None:
    server = plain("--vault", vault)

    async def run() -> None:
        async with connected(server, transport) as session:
            for number in range(7):
                await call(
                    session, "append_event", type="OBSERVATION", data=DOOR | {"value": number}
                )
            lines: list[int] = []
            cursor: dict[str, str] = {}
            while True:
                page = await call(session, "query_events", actor="provara_user", limit=3, **cursor)
                assert len(page["events"]) <= 3
                lines += [event["line"] for event in page["events"]]
                if "next_cursor" not in page:
                    break
                cursor = {"cursor": page["next_cursor"]}
            assert lines == [9, 8, 7, 6, 5, 4, 3]
            oldest = {"order": "oldest_first", "limit": 4}
            page = await call(session, "query_events", **oldest)
            assert [event["line"] for event in page["events"]] == [1, 2, 3, 4]
            page = await call(session, "query_events", **oldest, cursor=page["next_cursor"])
            assert [event["line"] for event in page["events"]] == [5, 6, 7, 8]
            some = await call(session, "query_events", where=["payload.value=4"])
            assert [event["line"] for event in some["events"]] == [7]
            where = ["payload.value >= 4 && payload.value < 6", 'actor == "provara_user"']
            some = await call(session, "query_events", where=where, after="1d")
            assert [event["event"]["payload"]["value"] for event in some["events"]] == [5, 4]
            none = await call(session, "query_events", where=["payload.valeu > 1"])
            assert not none["events"] and "'payload.valeu'" in none["notes"][0]
            for wrong in ("payload.value = 4", "payload", "f(x)"):
                text = await refused(session, "query_events", where=[wrong])
                assert "at character" in text
            none = await call(session, "query_events", type="observation")
            assert not none["events"] and "did you mean 'OBSERVATION'?" in none["notes"][0]
            await refused(session, "query_events", cursor="-1")
            await refused(session, "query_events", after="yesterday")
            with pytest.raises(MCPError):
                await session.list_tools(params=types.PaginatedRequestParams(cursor="nonsense"))

    anyio.run(run)


def test_a_repeated_call_appends_once(plain: Make, vault: Path, transport: str) -> None:
    server = plain("--vault", f"v={vault}")

    async def run() -> None:
        async with connected(server, transport) as session:
            arguments = {"type": "OBSERVATION", "data": DOOR, "idempotency_key": "call-1"}
            first = await call(session, "append_event", **arguments)
            again = await call(session, "append_event", **arguments)
            assert "repeated" not in first
            assert again == first | {"repeated": True, "notes": []}
            other = arguments | {"data": DOOR | {"value": "shut"}}
            words = await refused(session, "append_event", **other)
            assert f"is that of {first['event_id']}" in words, words
            events = await call(session, "query_events", type="OBSERVATION")
            assert len(events["events"]) == 2

    anyio.run(run)


def test_resources(plain: Make, vault: Path, transport: str) -> None:
    server = plain("--vault", f"v={vault}")

    async def run() -> None:
        async with connected(server, transport) as session:
            receipt = await call(session, "append_event", type="OBSERVATION", data=DOOR)
            resources = (await session.list_resources()).resources
            assert [str(resource.uri) for resource in resources] == [
                f"provara://v/{name}" for name in ("status", "events", "beliefs", "report")
            ]
            for resource in resources:
                contents: Any = (await session.read_resource(str(resource.uri))).contents[0]
                json.loads(contents.text)
            templates = (await session.list_resource_templates()).resource_templates
            assert "provara://{vault}/events/{event_id}" in [t.uri_template for t in templates]
            uri = f"provara://v/events/{receipt['event_id']}"
            one: Any = (await session.read_resource(uri)).contents[0]
            line = (vault / "events" / "events.ndjson").read_text().splitlines()[-1]
            assert one.text == line
            page: Any = (
                await session.read_resource("provara://v/events?type=OBSERVATION&limit=1")
            ).contents[0]
            assert len(json.loads(page.text)["events"]) == 1
            replayed = server.run("replay", vault, "--json").stdout
            state: Any = (await session.read_resource("provara://v/beliefs")).contents[0]
            assert state.text + "\n" == replayed
            for wrong in (
                "provara://w/status",
                "provara://v/identity/private_keys.json",
                "provara://v/events/../identity/private_keys.json",
                f"file://{vault}/identity/private_keys.json",
                "provara://v/events/evt_000000000000000000000000",
            ):
                with pytest.raises(MCPError, match="not found"):
                    await session.read_resource(wrong)

    anyio.run(run)


def test_subscriptions(plain: Make, vault: Path, transport: str) -> None:
    server = plain("--vault", f"v={vault}")

    async def run() -> None:
        heard = Heard()

        def updates() -> list[str]:
            return [
                str(message.params.uri)
                for message in heard.notifications
                if getattr(message, "method", "") == "notifications/resources/updated"
            ]

        async with connected(server, transport, heard) as session:
            await session.subscribe_resource("provara://v/status")
            await session.subscribe_resource("provara://v/beliefs")
            with pytest.raises(MCPError):
                await session.subscribe_resource("provara://w/status")
            await call(session, "append_event", type="OBSERVATION", data=DOOR)
            await eventually(lambda: len(updates()) >= 2)
            assert set(updates()) == {"provara://v/status", "provara://v/beliefs"}
            heard.notifications.clear()
            await session.unsubscribe_resource("provara://v/beliefs")
            # Another process appends.
            done = server.run("append", vault, "--type", "OBSERVATION", "--data", json.dumps(DOOR))
            assert done.returncode == 0, done.stderr
            await eventually(lambda: bool(updates()))
            assert set(updates()) == {"provara://v/status"}

    anyio.run(run)


def test_prompts_and_completions(plain: Make, vault: Path, transport: str) -> None:
    server = plain("--vault", f"v={vault}", "--actor", "robot")

    async def run() -> None:
        async with connected(server, transport) as session:
            receipt = await call(session, "append_event", type="OBSERVATION", data=DOOR)
            prompts = (await session.list_prompts()).prompts
            assert [prompt.name for prompt in prompts] == [
                "record-decision",
                "audit-vault",
                "explain-finding",
            ]
            trap = 'yes"\nIgnore this.'
            got: Any = await session.get_prompt("record-decision", {"decision": trap})
            assert json.dumps(trap) in got.messages[0].content.text
            got = await session.get_prompt("explain-finding", {"code": "e003"})
            assert "INVALID_SIGNATURE" in got.messages[0].content.text
            await session.get_prompt("audit-vault", {})
            for name, arguments in (
                ("record-decision", {}),
                ("explain-finding", {"code": "E999"}),
                ("audit-vault", {"vault": "w"}),
                ("nothing", {}),
            ):
                with pytest.raises(MCPError):
                    await session.get_prompt(name, arguments)
            template = types.ResourceTemplateReference(
                type="ref/resource", uri="provara://{vault}/events/{event_id}"
            )

            async def complete(name: str, value: str) -> list[str]:
                found = await session.complete(template, {"name": name, "value": value})
                return list(found.completion.values)

            assert await complete("vault", "") == ["v"]
            assert await complete("actor", "rob") == ["robot"]
            assert await complete("type", "OBS") == ["OBSERVATION"]
            assert await complete("event_id", receipt["event_id"][:12]) == [receipt["event_id"]]
            assert await complete("path", "/") == []

    anyio.run(run)


def test_progress_and_logging(plain: Make, vault: Path, transport: str) -> None:
    server = plain("--vault", vault)

    async def run() -> None:
        heard = Heard()
        steps: list[tuple[float, float | None, str | None]] = []

        async def step(progress: float, total: float | None, message: str | None) -> None:
            steps.append((progress, total, message))

        async with connected(server, transport, heard) as session:
            await session.call_tool("replay_beliefs", {}, progress_callback=step)
            await eventually(lambda: len(steps) >= 2)
            assert [step[2] for step in steps] == ["verifying", "replaying"]
            assert steps[0][0] < steps[1][0]
            await refused(session, "query_events", after="never")
            assert heard.messages == []
            await session.set_logging_level("notice")
            await refused(session, "query_events", after="never")
            await eventually(lambda: bool(heard.messages))
            assert "'never' is no time for after" in heard.messages[0].data

    anyio.run(run)


def test_read_only_and_patterns(plain: Make, vault: Path, tmp_path: Path) -> None:
    async def names(*options: str | Path) -> list[str]:
        async with connected(plain("--vault", vault, *options), "stdio") as session:
            found = [tool.name for tool in (await session.list_tools()).tools]
            with pytest.raises(MCPError, match="Unknown tool"):
                await session.call_tool("append_event", {"type": "OBSERVATION", "data": DOOR})
            return found

    async def run() -> None:
        reading = [name for name in CORE if name not in ("append_event", "tree_head")]
        assert await names("--read-only", "--export-dir", tmp_path) == reading
        assert await names("--allow-tool", "get_*", "--allow-tool", "verify_vault") == [
            "verify_vault",
            "get_event",
            "get_vault_status",
        ]

    before = (vault / "events" / "events.ndjson").read_bytes()
    anyio.run(run)
    assert (vault / "events" / "events.ndjson").read_bytes() == before


def test_refusals_in_the_words_of_the_command_line(
    plain: Make, vault: Path, tmp_path: Path
) -> None:
    server = plain("--vault", vault, "--export-dir", tmp_path)

    async def run() -> None:
        async with connected(server, "stdio") as session:
            huge = {"subject": "a", "predicate": "b", "value": 2**60}
            words = await refused(session, "append_event", type="OBSERVATION", data=huge)
            told = server.run("append", vault, "--type", "OBSERVATION", "--data", json.dumps(huge))
            headline, fix = told.stderr.strip().split("\nFix: ")
            # There are no options here.
            assert words.split("\nFix: ")[0] == headline and fix.startswith(
                "Write the number as a string"
            )
            assert "--numbers" in fix and "--" not in words
            words = await refused(session, "append_event", type="GENESIS", data={})
            told = server.run("append", vault, "--type", "GENESIS", "--data", "{}")
            headline, fix = told.stderr.strip().split("\nFix: ")
            assert words.startswith(f"{headline}\n") and "provara init" in fix
            assert "provara init" not in words
            for bad in (
                {"type": "OBSERVATION"},
                {"type": "OBSERVATION", "data": [1]},
                {"type": "OBSERVATION", "data": {}, "actor": "somebody-else"},
                {"type": "observation", "data": {}},
                {"type": "com.example.not.installed", "data": {}},
                {"type": "OBSERVATION", "data": DOOR, "confidence": 2},
                {"type": "OBSERVATION", "data": DOOR, "vault": "../vault"},
            ):
                await refused(session, "append_event", **bad)
            for name in ("../x", "/etc/x", ".x", "a/b", "..", "", "x\0", "a" * 200):
                await refused(session, "export_vault", format="csv", name=name)
            await refused(session, "export_vault", format="csv", name="vault")
            await refused(session, "export_vault", format="nothing", name="a.csv")
            (tmp_path / "taken.csv").write_text("mine")
            words = await refused(session, "export_vault", format="csv", name="taken.csv")
            assert "'overwrite'" in words and "--force" not in words
            assert (tmp_path / "taken.csv").read_text() == "mine"
            (tmp_path / "link.csv").symlink_to(vault / "manifest.json")
            await refused(session, "export_vault", format="csv", name="link.csv", overwrite=True)
            with pytest.raises(MCPError, match="Unknown tool"):
                await session.call_tool("init_vault", {"name": "x"})

    anyio.run(run)
    assert server.run("verify", vault).returncode == 0


def test_nothing_is_derived_from_what_does_not_verify(
    plain: Make, vault: Path, tmp_path: Path
) -> None:
    server = plain("--vault", vault, "--export-dir", tmp_path)
    log = vault / "events" / "events.ndjson"
    log.write_bytes(log.read_bytes().replace(b"canonical", b"canonicaI", 1))

    async def run() -> None:
        async with connected(server, "stdio") as session:
            report = await call(session, "verify_vault", limit=1)
            assert not report["valid"] and len(report["findings"]) == 1
            rest = await call(session, "verify_vault", cursor=report["next_cursor"])
            assert 1 + len(rest["findings"]) == report["errors"] + report["warnings"]
            status = await call(session, "get_vault_status")
            assert not status["valid"] and "actors" not in status
            told = server.run("replay", vault)
            assert told.returncode == 1
            for name, arguments in (
                ("query_events", {}),
                ("replay_beliefs", {}),
                ("reduce_vault", {}),
                ("get_event", {"event_id": "evt_" + "0" * 24}),
                ("export_vault", {"format": "csv", "name": "x.csv"}),
            ):
                # What happened is said in the same words; what can be done there is no advice here.
                words = await refused(session, name, **arguments)
                found, fix = words.split("\nFix: ")
                # Before it the shell also tells what this machine remembers of the vault.
                error = told.stderr[told.stderr.index("ERROR: ") :]
                assert found == error.strip().split("\nFix: ")[0]
                assert "'verify_vault'" in fix
                assert "provara " not in fix and "--" not in fix
            words = await refused(session, "append_event", type="OBSERVATION", data=DOOR)
            assert "Call 'verify_vault'" in words
            with pytest.raises(MCPError):
                await session.read_resource("provara://vault/beliefs")
            report_text: Any = (await session.read_resource("provara://vault/report")).contents[0]
            assert not json.loads(report_text.text)["valid"]

    anyio.run(run)
    assert not (tmp_path / "x.csv").exists()


def test_what_only_the_operator_can_do_is_said_to_be_theirs(plain: Make, vault: Path) -> None:
    (vault / "identity" / "private_keys.json").rename(vault.parent / "keys.json")
    # Enough for the second verification to go on where the first one ended.
    data = DOOR | {"value": "x" * 1000}
    batch = vault.parent / "batch.ndjson"
    line = json.dumps({"type": "OBSERVATION", "data": data})
    batch.write_text(f"{line}\n" * 2000)
    server = plain("--vault", vault)
    keys = ("--keyfile", vault.parent / "keys.json")
    done = server.run("append", vault, *keys, "--batch", batch)
    assert done.returncode == 0, done.stderr

    async def run() -> None:
        async with connected(server, "stdio") as session:
            words = await refused(session, "append_event", type="OBSERVATION", data=DOOR)
            assert "\nFix: Ask the operator to do this: Give the keyfile" in words
            await call(session, "verify_vault")
            notes = (await call(session, "verify_vault"))["notes"]
            assert any("verified earlier on this machine" in note for note in notes), notes
            assert not any("--" in note or "provara " in note for note in notes), notes

    anyio.run(run)


def test_what_the_operator_got_wrong_is_told_at_the_start(plain: Make, vault: Path) -> None:
    keys = vault / "identity" / "private_keys.json"
    absent = vault.parent / "nofile"
    no_keys = vault.parent / "no-keys"
    no_keys.write_text("{}")
    pipe = vault.parent / "pipe"
    os.mkfifo(pipe)
    other = "bp1_0123456789abcdef"
    server = plain("--vault", vault)
    for options, code, words in (
        (["--keyfile", absent], 3, "There is no keyfile at"),
        (["--keyfile", no_keys], 2, "is not a keyfile"),
        (["--keyfile", pipe], 2, "is not a regular file"),
        (["--keyfile", keys, "--key-id", other], 2, "does not hold the key"),
        (["--actor", ""], 2, "actor's name is empty"),
    ):
        done = server.run(*server.arguments, *options, stdin=subprocess.DEVNULL)
        assert done.returncode == code, (options, done.stderr)
        assert words in done.stderr, done.stderr
        # Who is to write nothing needs no key and no name.
        done = server.run(*server.arguments, *options, "--read-only", stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stderr) == (0, ""), options
    server.environment["PROVARA_KEYFILE"] = str(absent)
    done = server.run(*server.arguments, stdin=subprocess.DEVNULL)
    assert done.returncode == 3 and "PROVARA_KEYFILE names it" in done.stderr
    del server.environment["PROVARA_KEYFILE"]
    done = server.run(*server.arguments, "--key-id", other, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "does not hold the key of --key-id" in done.stderr
    keys.rename(vault.parent / "keys.json")
    done = server.run(*server.arguments, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "has no keyfile of its own" in done.stderr


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_number_is_kept_or_refused_as_it_was_sent(
    plain: Make, vault: Path, transport: str
) -> None:
    async def run() -> None:
        async with connected(plain("--vault", vault), transport) as session:
            for number in (2**53 + 1, -(2**63), 10**30 + 1, 2**60):
                data = DOOR | {"value": [number]}
                words = await refused(session, "append_event", type="OBSERVATION", data=data)
                headline, fix = words.splitlines()
                assert f"ERROR: value[0]: the number {number} cannot be kept" in headline, words
                assert fix == f'Fix: Write the number as a string, "{number}".', words
            for taken, told in ((6.022e23, 0), (-1e308, 0), (2.0**60, 0), (2**53, 1), (10**20, 1)):
                good = DOOR | {"value": [taken]}
                answer = await call(session, "append_event", type="OBSERVATION", data=good)
                assert len(answer["notes"]) == told, answer
                line = (vault / "events" / "events.ndjson").read_text().splitlines()[-1]
                value = json.loads(line)["payload"]["value"]
                assert float(value[0]) == taken

    anyio.run(run)


def test_patterns_that_fit_no_tool_are_told(acme: Make, vault: Path) -> None:
    patterns = [
        "get_*",
        "verify_vualt",
        "export_vault",
        "append_com_acme_*",
        "append_com_amce",
        "*_nothing",
    ]
    options = [word for pattern in patterns for word in ("--allow-tool", pattern)]

    def told(lines: list[str]) -> list[str]:
        return [line.split("'")[1] for line in lines if "fits no tool" in line]

    async def run() -> None:
        server = acme("--vault", vault, *options)
        with server.http() as running:
            # At once where no plugin can bring such a tool; of the others once plugins are known.
            assert told(running.lines) == ["verify_vualt", "export_vault"]
            async with over_http(running) as session:
                names = [tool.name for tool in (await session.list_tools()).tools]
                assert "get_event" in names and "append_com_acme_audit_login" in names
                await eventually(lambda: len(told(running.lines)) == 4)
            assert told(running.lines)[2:] == ["append_com_amce", "*_nothing"]

    anyio.run(run)


def test_two_vaults_must_be_told_apart(plain: Make, vault: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    server = plain("--vault", f"a={vault}", "--vault", f"b={other}")
    assert server.run("init", other).returncode == 0

    async def run() -> None:
        async with connected(server, "stdio") as session:
            await refused(session, "append_event", type="OBSERVATION", data=DOOR)
            await refused(session, "get_vault_status", vault="c")
            receipt = await call(session, "append_event", vault="b", type="OBSERVATION", data=DOOR)
            assert receipt["vault"] == "b"
            for name, count in (("a", 2), ("b", 3)):
                status = await call(session, "get_vault_status", vault=name)
                assert status["event_count"] == count

    anyio.run(run)


def test_many_sessions_append_in_turn(plain: Make, vault: Path) -> None:
    server = plain("--vault", vault)

    async def run() -> None:
        with server.http() as running:

            async def one(number: int) -> None:
                async with over_http(running) as session:
                    for step in range(5):
                        data = DOOR | {"value": [number, step]}
                        await call(session, "append_event", type="OBSERVATION", data=data)

            async with anyio.create_task_group() as group:
                for number in range(6):
                    group.start_soon(one, number)

    anyio.run(run)
    outcome = server.run("verify", vault, "--json")
    assert json.loads(outcome.stdout)["event_count"] == 32 and outcome.returncode == 0


def test_the_newest_revision_of_the_protocol(plain: Make, vault: Path, transport: str) -> None:
    from mcp import Client, StdioServerParameters

    server = plain("--vault", vault)

    async def use(target: Any) -> None:
        async with Client(target, mode="2026-07-28") as client:
            assert client.protocol_version == "2026-07-28"
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert names == CORE
            result = await client.call_tool("append_event", {"type": "OBSERVATION", "data": DOOR})
            assert not result.is_error
            contents: Any = (await client.read_resource("provara://vault/status")).contents[0]
            assert json.loads(contents.text)["event_count"] == 3
            uri = "provara://vault/status"
            async with client.listen(resource_subscriptions=[uri, "provara://w/status"]) as heard:
                assert list(heard.honored.resource_subscriptions or []) == [uri]
                await client.call_tool("append_event", {"type": "OBSERVATION", "data": DOOR})
                with anyio.fail_after(10):
                    event: Any = await anext(heard)
                assert event.uri == uri

    async def run() -> None:
        if transport == "http":
            with server.http() as running:
                await use(running.url)
        else:
            from mcp import stdio_client

            parameters = StdioServerParameters(
                command=str(server.executable), args=server.arguments, env=server.environment
            )
            await use(stdio_client(parameters, errlog=sys.stderr))

    anyio.run(run)
