"""Plugins whose schemas and answers are meant to harm whoever shows them or applies them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# What a terminal would act on, and what would be read in another order.
BAD = "\x1b[2J\x07\u202e\x9bevil"


class Event:
    """What all have in common."""

    def validate(self, data: dict[str, Any]) -> bool:
        if data.get("refuse"):
            raise ValueError(BAD)
        return True

    def cli_command(self) -> str | None:
        return None


class Texts(Event):
    name = "com.example.hostile.texts"
    schema = {
        "type": "object",
        "title": BAD,
        "description": BAD,
        "properties": {"a": {"type": "string", "title": BAD, "description": BAD, "$comment": BAD}},
        "$defs": {"b": {"anyOf": [{"description": BAD}]}},
    }


class Long(Event):
    name = "com.example.hostile.long"
    schema = {
        "type": "object",
        "description": "x" * 2_000_000,
        "properties": {"a": {"type": "string", "description": "y" * 1_000_000}},
    }


class Wide(Event):
    name = "com.example.hostile.wide"
    schema = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(50_000)}}


class Cycle(Event):
    name = "com.example.hostile.cycle"
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    }


class Itself(Event):
    name = "com.example.hostile.itself"
    schema = {"type": "object", "properties": {"a": {"$ref": "#"}}}


class Reducer:
    name = "com.example.hostile.state"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        return {"state": BAD}
