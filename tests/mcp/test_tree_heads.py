"""Tree heads and proofs through the server, held against what the command line makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import Make
from support_mcp import Server, connected
from test_agents import whole
from test_client import DOOR, call, refused


def held(server: Server, vault: Path, file: Path, *more: str) -> dict[str, Any]:
    """What `provara verify` says of a vault that is held to a tree head."""
    done = server.run("verify", vault, "--head", file, "--json", *more)
    return dict(json.loads(done.stdout))


def test_a_vault_is_held_to_what_was_signed(
    plain: Make, vault: Path, tmp_path: Path, transport: str
) -> None:
    server = plain("--vault", f"v={vault}")
    other = tmp_path / "other"
    assert server.run("init", other).returncode == 0
    strange = server.run("tree-head", other).stdout

    async def run() -> None:
        async with connected(server, transport) as session:
            await call(session, "append_event", type="OBSERVATION", data=DOOR)
            signed = await call(session, "tree_head")
            assert (signed["vault"], signed["size"]) == ("v", 3)
            key = signed["key_id"]
            # The command line signs the same, and takes what was signed here.
            assert server.run("tree-head", vault).stdout == signed["note"]
            file = tmp_path / "head"
            file.write_text(signed["note"], "utf-8")
            assert held(server, vault, file, "--root-key", key)["valid"]
            await call(session, "append_event", type="OBSERVATION", data=DOOR | {"value": 1})
            notes = [signed["note"], (await call(session, "tree_head"))["note"]]
            report = await call(session, "verify_vault", heads=notes, root_keys=[key], strict=True)
            assert report["valid"] and "over 4 of its 4 events" in "".join(report["notes"])

            report = await call(session, "verify_vault", heads=[notes[0], strange])
            (finding,) = report["findings"]
            assert not report["valid"]
            assert (finding["code"], finding["file"]) == ("PROVARA_E017", "heads[1]")
            report = await call(session, "verify_vault", root_keys=["bp1_" + "0" * 16])
            assert [it["code"] for it in report["findings"]] == ["PROVARA_E207"]
            # Neither changes what is said of the vault alone.
            assert (await call(session, "verify_vault"))["valid"]

            words = await refused(session, "verify_vault", heads=[notes[0], notes[0][:-9]])
            assert "'heads[1]' is no tree head: its end is missing" in words
            assert "'tree_head'" in words and "provara " not in words.replace("provara/", "")
            twice = notes[0] + notes[0].splitlines()[-1] + "\n"
            assert "of one key" in await refused(session, "verify_vault", heads=[twice])
            assert "'me' is no key id" in await refused(session, "verify_vault", root_keys=["me"])
            words = await refused(session, "verify_vault", heads=notes * 11)
            assert "do not fit its schema" in words

    anyio.run(run)


def test_events_are_proven(plain: Make, vault: Path, tmp_path: Path) -> None:
    server = plain("--vault", f"v={vault}")

    def proven(proof: str, head: str) -> list[int]:
        (tmp_path / "proof").write_text(proof, "utf-8")
        (tmp_path / "head").write_text(head, "utf-8")
        done = server.run("verify-proof", tmp_path / "proof", "--head", tmp_path / "head", "--json")
        assert done.returncode == 0, done.stderr
        return [event["line"] for event in json.loads(done.stdout)["events"]]

    async def run() -> None:
        async with connected(server, "stdio") as session:
            ids = []
            for value in range(4):
                data = DOOR | {"value": value}
                receipt = await call(session, "append_event", type="OBSERVATION", data=data)
                ids.append(receipt["event_id"])
            head = (await call(session, "tree_head"))["note"]
            shown = await call(session, "prove_event", head=head, event_ids=[ids[2]])
            assert (shown["size"], proven(shown["proof"], head)) == (6, [1, 5])
            shown = await call(session, "prove_event", head=head, event_ids=[ids[3], ids[0]])
            assert proven(shown["proof"], head) == [1, 3, 6]
            lines = await call(session, "prove_event", head=head, first_line=3, last_line=5)
            assert proven(lines["proof"], head) == [1, 3, 4, 5]
            one = await call(session, "prove_event", head=head, first_line=4)
            assert proven(one["proof"], head) == [1, 4]

            later = (await call(session, "append_event", type="OBSERVATION", data=DOOR))["event_id"]
            wrong: list[tuple[dict[str, Any], str]] = [
                ({"event_ids": [later]}, "is among the 6 that the tree head is over"),
                ({"event_ids": ["evt_1"]}, "'evt_1' is no event id"),
                ({"first_line": 6, "last_line": 7}, "over the lines 1 to 6"),
                ({"first_line": 5, "last_line": 3}, "no lines 5 to 3"),
                ({}, "not said which events"),
                ({"last_line": 3}, "not said which events"),
                ({"event_ids": [ids[0]], "first_line": 3}, "not said which events"),
                ({"event_ids": []}, "not said which events"),
            ]
            for arguments, saying in wrong:
                words = await refused(session, "prove_event", head=head, **arguments)
                assert saying in words, words
            words = await refused(session, "prove_event", head=head[:-1], first_line=1)
            assert "'head' is no tree head" in words
            changed = head.replace("\n6\n", "\n5\n")
            words = await refused(session, "prove_event", head=changed, first_line=1)
            assert "does not begin with the 5 events" in words and "verify_vault" in words

    anyio.run(run)


def test_a_long_proof_comes_in_parts_and_one_without_end_does_not_come(
    plain: Make, vault: Path
) -> None:
    server = plain("--vault", vault)
    long = DOOR | {"value": "x" * 1_000_000}

    async def run() -> None:
        async with connected(server, "stdio") as session:
            for _ in range(9):
                await call(session, "append_event", type="OBSERVATION", data=long)
            head = (await call(session, "tree_head"))["note"]
            found, parts = await whole(session, "prove_event", head=head, first_line=3)
            assert parts > 10 and json.loads(found["proof"])["head"] == head
            words = await refused(session, "prove_event", head=head, first_line=3, last_line=11)
            assert "lines 3 to 11 have more bytes than an answer may" in words

    anyio.run(run)


@pytest.mark.parametrize("key", ["own", "elsewhere"])
def test_who_signs(plain: Make, vault: Path, tmp_path: Path, key: str) -> None:
    before = (vault / "events" / "events.ndjson").read_bytes()
    keys = vault / "identity" / "private_keys.json"
    options: list[str | Path] = ["--vault", vault]
    if key == "elsewhere":
        options += ["--keyfile", keys.rename(tmp_path / "keys.json")]

    async def signing() -> None:
        async with connected(plain(*options), "stdio") as session:
            assert (await call(session, "tree_head"))["size"] == 2
            words = await refused(session, "tree_head", copy="mine")
            assert "do not fit its schema" in words

    async def reading() -> None:
        async with connected(plain("--vault", vault, "--read-only"), "stdio") as session:
            names = {tool.name for tool in (await session.list_tools()).tools}
            assert "tree_head" not in names and "append_event" not in names
            assert {"prove_event", "verify_vault"} <= names

    anyio.run(signing)
    anyio.run(reading)
    if key == "elsewhere":

        async def without() -> None:
            async with connected(plain("--vault", vault), "stdio") as session:
                assert "no keyfile" in await refused(session, "tree_head")

        anyio.run(without)
    assert (vault / "events" / "events.ndjson").read_bytes() == before
