"""Schemas that agents' APIs and clients refuse as they are, each with one thing that they stumble over."""

from __future__ import annotations

from typing import Any

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
TEXT = {"type": "string"}
TAGGED = [
    {"type": "object", "properties": {"kind": {"const": "a"}, "n": {"type": "integer"}}},
    {"type": "object", "properties": {"kind": {"const": "b"}, "t": TEXT}},
]

#: Each with data that fits and data that does not.
SCHEMAS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "one_of": ({"oneOf": TAGGED}, {"kind": "a", "n": 1}, {"kind": "a", "n": "x"}),
    "any_of": (
        {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"b": 1},
        {},
    ),
    "all_of": ({"allOf": [{"required": ["a"]}, {"properties": {"a": TEXT}}]}, {"a": "x"}, {"a": 1}),
    "not": ({"type": "object", "not": {"required": ["a"]}}, {"b": 1}, {"a": 1}),
    "condition": (
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}},
        {"a": 1, "b": 2},
        {"a": 1},
    ),
    "reference": (
        {
            "$ref": "#/definitions/Order",
            "$schema": DRAFT_7,
            "definitions": {
                "Order": {
                    "type": "object",
                    "properties": {
                        "items": {"type": "array", "items": {"$ref": "#/definitions/i"}}
                    },
                },
                "i": {"type": "object", "required": ["sku"], "properties": {"sku": TEXT}},
            },
        },
        {"items": [{"sku": "x"}]},
        {"items": [{}]},
    ),
    "tree": (
        {
            "type": "object",
            "properties": {"root": {"$ref": "#/$defs/node"}},
            "$defs": {
                "node": {
                    "type": "object",
                    "properties": {
                        "name": TEXT,
                        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                    },
                }
            },
        },
        {"root": {"name": "a", "children": [{"name": "b", "children": []}]}},
        {"root": {"children": [{"children": [{"name": 1}]}]}},
    ),
    "names": (
        {"type": "object", "properties": {"a b": TEXT, "$type": TEXT, "é": TEXT, "x" * 65: TEXT}},
        {"a b": "x"},
        {"a b": 1},
    ),
    "booleans": (
        {"type": "object", "properties": {"note": True, "gone": False}},
        {"note": 1},
        {"gone": 1},
    ),
    "tuple": (
        {
            "type": "object",
            "properties": {"point": {"prefixItems": [{"type": "number"}] * 2, "items": False}},
        },
        {"point": [1, 2]},
        {"point": [1, 2, 3]},
    ),
    "old_tuple": (
        {
            "$schema": DRAFT_4,
            "id": "https://example.com/old.json",
            "type": "object",
            "properties": {
                "point": {"items": [{"type": "number"}, TEXT], "additionalItems": False},
                "rate": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
            },
        },
        {"point": [1, "x"], "rate": 1},
        {"rate": 0},
    ),
    "pattern": (
        {"type": "object", "properties": {"id": {"type": "string", "pattern": "^[\\w\\-]+\\-x$"}}},
        {"id": "a-x"},
        {"id": "a"},
    ),
    "identified": (
        {
            "$id": "https://example.com/identified.json",
            "$ref": "#/$defs/body",
            "$defs": {"body": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        },
        {"n": 1},
        {"n": "x"},
    ),
    "key": (
        {"type": "object", "properties": {"idempotency_key": {"type": "integer"}}},
        {"idempotency_key": 1},
        {"idempotency_key": "x"},
    ),
    "header": (
        {"type": "object", "properties": {"token": {"type": "string", "x-mcp-header": "Token"}}},
        {"token": "x"},
        {"token": 1},
    ),
    "a_very_long_name_that_goes_on_and_on_and_on_and_on_for_ever": (
        {"type": "object", "properties": {"n": {"type": "integer"}}},
        {"n": 1},
        {"n": "x"},
    ),
}


def _validate(_: object, data: dict[str, Any]) -> bool:
    return True


def _kind(name: str, schema: dict[str, Any]) -> type:
    """The class of one event type; its schema is all there is to it."""
    members = {"name": f"com.example.hard.{name}", "schema": schema, "validate": _validate}
    return type(f"Event_{name}", (), members | {"__module__": __name__})


globals().update({f"Event_{name}": _kind(name, schema) for name, (schema, *_) in SCHEMAS.items()})
