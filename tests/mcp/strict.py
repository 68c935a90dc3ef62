"""The strictest rules that agents' APIs and clients have for tools: one tool against them costs all others.

Each rule has its source. Where no documentation says it, the source is what the service answered.

- Names: Claude's Messages API, "name: must match the regex ^[a-zA-Z0-9_-]{1,64}$"
  (platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use); OpenAI, "a-z, A-Z, 0-9, or
  contain underscores and dashes, with a maximum length of 64" (API reference, function tools). Clients put
  the server's name before it, as ``mcp__provara__``, so that less is left.
- Description: at most 1024 characters, OpenAI ("Invalid 'tools[0].function.description': string too
  long. Expected a string with maximum length 1024", github.com/getsentry/sentry-mcp/issues/106).
- The root of an input schema: ``"type": "object"`` (MCP 2025-06-18, schema of ``Tool``), and no ``oneOf``,
  ``anyOf`` or ``allOf`` ("input_schema does not support oneOf, allOf, or anyOf at the top level",
  github.com/anthropics/claude-code/issues/5319). ``$ref``, ``if``, ``not``, ``enum`` and ``const`` there
  are no plain object either.
- Names of members at the root: "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'"
  (github.com/freee/freee-mcp/issues/15). The same in words, and that the API "rejects reference keywords
  such as $ref anywhere in a custom tool's input_schema":
  platform.claude.com/docs/en/managed-agents/self-hosted-sandboxes, as quoted in
  github.com/diegosouzapw/OmniRoute/issues/13552.
- Booleans among the root's ``properties``: ``@modelcontextprotocol/sdk`` 1.32.2 takes objects alone
  (its ``ToolSchema``) and refuses the whole list.
- Dialect: 2020-12 is what a schema without ``$schema`` is of (MCP 2025-11-25, "JSON Schema usage"); an
  annotation such as ``x-mcp-header`` decides where an argument is sent (MCP 2026-07-28), and is no plugin's
  business.
- Output schemas: the same SDK compiles each with ajv for draft-07 when it gets the list, and an exception
  fails the list: no reference that leads nowhere, no pattern that JavaScript does not compile; ``items``
  beside ``prefixItems`` would refuse every tuple.
- The list: one page, because several clients read no other, of at most 64 kB.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jsonschema

#: What is left of 64 characters after the longest prefix that clients put before a name.
LONGEST_NAME = 46
LONGEST_DESCRIPTION = 1024
LONGEST_LIST = 64_000
ROOT = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "dependentRequired",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
}
REFERENCES = {"$ref", "$dynamicRef", "$recursiveRef", "$id", "$schema", "$anchor", "$dynamicAnchor"}
REFERENCES |= {"$defs", "definitions", "x-mcp-header"}
#: Keywords whose value is a schema, a list of them, or an object of them.
ONE = {"additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else"}
LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
NAMED = {"properties", "patternProperties", "dependentSchemas"}


def check(tools: Sequence[dict[str, Any]], next_cursor: str | None) -> None:
    """Hold a list of tools, in the protocol's own names, against every rule."""
    assert next_cursor is None, "the list has a second page"
    text = json.dumps({"tools": tools}, ensure_ascii=False, separators=(",", ":"))
    assert len(text.encode()) <= LONGEST_LIST, f"the list has {len(text.encode())} bytes"
    names = [tool["name"].lower() for tool in tools]
    assert len(set(names)) == len(names), "two tools have one name"
    for tool in tools:
        check_tool(tool)


def check_tool(tool: dict[str, Any]) -> None:
    name = tool["name"]
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", name) and len(name) <= LONGEST_NAME, name
    assert len(tool.get("description") or "") <= LONGEST_DESCRIPTION, name
    schema = tool["inputSchema"]
    assert schema.get("type") == "object", name
    assert set(schema) <= ROOT, f"{name}: {set(schema) - ROOT}"
    for member, part in schema.get("properties", {}).items():
        assert re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", member), f"{name}: {member!r}"
        assert isinstance(part, dict), f"{name}: {member!r} is {part!r}"
    jsonschema.Draft202012Validator.check_schema(schema)
    check_parts(name, schema)
    output = tool.get("outputSchema")
    if output is not None:
        assert output.get("type") == "object", name
        jsonschema.Draft7Validator.check_schema(output)
        check_parts(name, output)


def check_parts(name: str, schema: dict[str, Any]) -> None:
    for part in parts(schema):
        assert not set(part) & REFERENCES, f"{name}: {set(part) & REFERENCES}"
        assert not ("prefixItems" in part and "items" in part), f"{name}: a tuple"
        assert not isinstance(part.get("items"), list | bool), f"{name}: {part['items']!r}"
        for pattern in [
            *([part["pattern"]] if "pattern" in part else []),
            *part.get("patternProperties", {}),
        ]:
            # What is left when Python compiles it, and it has no construct of Python's alone;
            # client.mjs compiles every pattern with JavaScript itself.
            re.compile(pattern)
            assert not re.search(r"\(\?[^:=!<]|\\[AZzGhHKQE]|\[\[:", pattern), f"{name}: {pattern}"


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and every subschema of it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword, value in schema.items():
        below: list[Any] = []
        if keyword in ONE:
            below = [value]
        elif keyword in LISTS:
            below = list(value)
        elif keyword in NAMED:
            below = list(value.values())
        for part in below:
            yield from parts(part)
