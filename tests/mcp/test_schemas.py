"""Inputs made from each tool's own schema: valid ones never crash, invalid ones are refused.

The generator knows the keywords that the tools and the example package use; a keyword that it does
not know fails the test, so that a new one is not passed over in silence.
"""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

import anyio
import jsonschema
from conftest import Make
from mcp import MCPError
from support_mcp import connected, text

ROUNDS = 12
PLAIN = {"type", "properties", "required", "additionalProperties", "description", "default", "enum"}
PLAIN |= {"items", "minimum", "maximum", "minLength", "maxLength", "pattern", "format", "maxItems"}
PLAIN |= {"title", "$schema", "examples"}


def valid(schema: dict[str, Any], dice: random.Random) -> Any:
    """A value that the schema allows."""
    unknown = set(schema) - PLAIN
    assert not unknown, f"the generator does not know {unknown}"
    if "enum" in schema:
        return dice.choice(schema["enum"])
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = dice.choice(kind)
    if kind == "object":
        properties = schema.get("properties", {})
        chosen = [
            name
            for name in properties
            if name in schema.get("required", []) or dice.random() < 0.5
        ]
        return {name: valid(properties[name], dice) for name in chosen}
    if kind == "array":
        count = dice.randint(0, min(schema.get("maxItems", 3), 3))
        return [valid(schema["items"], dice) for _ in range(count)]
    if kind == "string":
        return word(schema, dice)
    if kind == "integer":
        return dice.randint(schema.get("minimum", -5), min(schema.get("maximum", 500), 500))
    if kind == "number":
        return dice.uniform(schema.get("minimum", -1), schema.get("maximum", 1))
    if kind == "boolean":
        return dice.random() < 0.5
    assert kind == "null"
    return None


def word(schema: dict[str, Any], dice: random.Random) -> str:
    if schema.get("format") == "ipv4":
        return ".".join(str(dice.randint(0, 255)) for _ in range(4))
    if schema.get("format") == "date-time":
        return "2026-01-31T00:00:00Z"
    pattern = schema.get("pattern", "")
    if pattern.startswith("^evt_"):
        return "evt_" + "".join(dice.choice("0123456789abcdef") for _ in range(24))
    letters = string.ascii_letters + string.digits
    if not pattern:
        letters += " .:=[]{}\"'\\\n\u00e9\u4e2d\U0001f600\u202e\x00"
    size = dice.randint(max(schema.get("minLength", 1), 1), min(schema.get("maxLength", 30), 30))
    return "".join(dice.choice(letters) for _ in range(size))


def invalid(schema: dict[str, Any], dice: random.Random) -> dict[str, Any] | None:
    """Arguments that the schema forbids, or nothing where it forbids too little."""
    value = valid(schema, dice)
    ways: list[dict[str, Any]] = []
    for name in schema.get("required", []):
        ways.append({key: item for key, item in value.items() if key != name})
    if schema.get("additionalProperties") is False:
        ways.append(value | {"no_such_argument": 1})
    for name, part in schema.get("properties", {}).items():
        if part.get("type") == "string":
            ways.append(value | {name: {"not": "a string"}})
        elif "type" in part:
            ways.append(value | {name: "not of the type"})
        if "maximum" in part:
            ways.append(value | {name: part["maximum"] + 1})
    return dice.choice(ways) if ways else None


def test_inputs_from_schemas(acme: Make, vault: Path, tmp_path: Path) -> None:
    out, vaults = tmp_path / "out", tmp_path / "vaults"
    out.mkdir()
    vaults.mkdir()
    server = acme("--vault", f"v={vault}", "--export-dir", out)
    checker = jsonschema.FormatChecker()

    async def run() -> None:
        dice = random.Random(20261122)
        calls = refusals = 0
        async with connected(server, "stdio") as session:
            for tool in (await session.list_tools()).tools:
                schema = dict(tool.input_schema)
                # The server answers thousands of these a second, a reducer's host not.
                rounds = 3 if tool.name.startswith(("reduce_com", "export_")) else ROUNDS
                for _ in range(rounds):
                    arguments = valid(schema, dice)
                    jsonschema.validate(arguments, schema, format_checker=checker)
                    # What fits the schema may still be refused, with words; it never crashes, and the
                    # client finds that an answer fits the output schema.
                    result = await session.call_tool(tool.name, arguments)
                    if result.is_error:
                        assert text(result).startswith("ERROR: "), text(result)
                        assert "server failed" not in text(result)
                    calls += 1
                for _ in range(ROUNDS):
                    arguments = invalid(schema, dice)
                    if arguments is None:
                        continue
                    try:
                        result = await session.call_tool(tool.name, arguments)
                    except MCPError as error:
                        assert error.error.code == -32602
                    else:
                        assert result.is_error, (tool.name, arguments)
                    refusals += 1
            assert calls > 80 and refusals > 100

    anyio.run(run)
    done = server.run("verify", vault)
    assert done.returncode == 0, done.stdout
