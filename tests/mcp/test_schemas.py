"""Inputs made from each tool's own schema: valid ones never crash, invalid ones are refused.

The generator knows the keywords that the tools and the example package use; a keyword that it does
not know fails the test, so that a new one is not passed over in silence.
"""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from conftest import Make
from mcp import MCPError
from support_mcp import connected, text

ROUNDS = 12
PLAIN = {"type", "properties", "required", "additionalProperties", "description", "default", "enum"}
PLAIN |= {"items", "minimum", "maximum", "minLength", "maxLength", "pattern", "format", "maxItems"}
PLAIN |= {"title", "$schema", "$id", "examples"}


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
            name for name in properties if name in schema.get("required", []) or dice.random() < 0.5
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


def invalid(schema: dict[str, Any], dice: random.Random) -> Iterator[Any]:
    """Values that break one keyword of the schema each, and keep to all others."""
    value = valid(schema, dice)
    kind = schema.get("type")
    if kind is not None and kind != "string":
        yield "not of the type"
    if kind in ("string", "object", "array"):
        yield 7
    if "enum" in schema:
        yield "none of them"
    if schema.get("format") == "ipv4":
        yield "192.168.1"
    if "pattern" in schema:
        yield "no ../match"
    if "minLength" in schema:
        yield "x" * (schema["minLength"] - 1)
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if "minimum" in schema:
        yield schema["minimum"] - 1
    if "maximum" in schema:
        yield schema["maximum"] + 1
    if kind == "integer":
        yield 1.5
    if kind == "array":
        yield [*value, next(invalid(schema["items"], dice))]
        if "maxItems" in schema:
            yield [valid(schema["items"], dice)] * (schema["maxItems"] + 1)
    for name in schema.get("required", []):
        yield {key: item for key, item in value.items() if key != name}
    if schema.get("additionalProperties") is False:
        yield value | {"no_such_member": 1}
    for name, part in schema.get("properties", {}).items():
        yield from (value | {name: wrong} for wrong in invalid(part, dice))


@pytest.mark.parametrize("vaults", ["one", "several"])
def test_inputs_from_schemas(acme: Make, vault: Path, tmp_path: Path, vaults: str) -> None:
    out, made = tmp_path / "out", tmp_path / "made"
    out.mkdir()
    made.mkdir()
    # Where vaults can be made, an event type's own schema is a part of its tool's.
    options = ["--init-dir", made] if vaults == "several" else []
    server = acme("--vault", f"v={vault}", "--export-dir", out, *options)
    checker = jsonschema.FormatChecker()
    log = vault / "events" / "events.ndjson"

    async def run() -> None:
        dice = random.Random(20261122)
        succeeded, refused = Counter[str](), Counter[str]()
        async with connected(server, "stdio") as session:
            tools = (await session.list_tools()).tools
            for tool in tools:
                schema = dict(tool.input_schema)
                # The server answers thousands of these a second, a reducer's host not.
                rounds = 3 if tool.name.startswith(("reduce_com", "export_")) else ROUNDS
                # Times, conditions, cursors and tree heads have languages that few inputs meet.
                rare = ("query_events", "verify_vault", "reduce_vault")
                rounds *= 10 if tool.name in rare else 1
                for _ in range(rounds):
                    arguments = valid(schema, dice)
                    jsonschema.validate(arguments, schema, format_checker=checker)
                    # What fits the schema may still be refused, with words; it never crashes, and the
                    # client finds that an answer fits the output schema.
                    result = await session.call_tool(tool.name, arguments)
                    if result.is_error:
                        assert text(result).startswith("ERROR: "), text(result)
                        assert "server failed" not in text(result)
                    else:
                        succeeded[tool.name] += 1
                before = log.read_bytes(), sorted(out.iterdir()), sorted(made.iterdir())
                for arguments in invalid(schema, dice):
                    if not isinstance(arguments, dict):
                        # Arguments are an object; another type is no call, which test_abuse*.py send.
                        continue
                    with pytest.raises(jsonschema.ValidationError):
                        jsonschema.validate(arguments, schema, format_checker=checker)
                    try:
                        result = await session.call_tool(tool.name, arguments)
                    except MCPError as error:
                        assert error.error.code == -32602
                    else:
                        assert result.is_error, (tool.name, arguments)
                        assert text(result).startswith("ERROR: "), text(result)
                    refused[tool.name] += 1
                after = log.read_bytes(), sorted(out.iterdir()), sorted(made.iterdir())
                assert before == after, tool.name
            assert all(refused[tool.name] > 0 for tool in tools), refused
            # These need a name or an id that there is, which no generator finds.
            lucky = {tool.name for tool in tools} - {"append_event", "get_event", "export_vault"}
            lucky -= {"show_event", "prove_event", "describe_event_type"}
            assert lucky <= set(succeeded), succeeded

    anyio.run(run)
    done = server.run("verify", vault)
    assert done.returncode == 0, done.stdout
