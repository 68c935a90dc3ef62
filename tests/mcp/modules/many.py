"""More event types than a list of tools has room for, with schemas of every size, and reducers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COUNT = 60


def _leaf(size: int) -> dict[str, Any]:
    return {"type": "string", "description": "What it is, " * size, "maxLength": 100}


def _schema(number: int) -> dict[str, Any]:
    # The last one is longer than a message.
    parts = 16 if number == COUNT - 1 else 3
    inner = {f"part{at}": _leaf(number % 7) for at in range(parts)}
    properties = {f"member{at}": {"type": "object", "properties": inner} for at in range(number)}
    return {
        "type": "object",
        "description": f"Number {number} of many.",
        "properties": properties | {"n": {"type": "integer"}},
        "required": ["n"],
    }


def _validate(_: object, data: dict[str, Any]) -> bool:
    return True


def _kind(number: int) -> type:
    members = {"name": f"com.example.many.type{number:02}", "schema": _schema(number)}
    return type(f"Event{number}", (), members | {"validate": _validate, "__module__": __name__})


globals().update({f"Event{number}": _kind(number) for number in range(COUNT)})


class LongReducer:
    """Says much of what it read.

    This paragraph is for people who read the code.
    """

    name = "com.example.many.long"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        return {
            "lines": [f"{number}: {event['event_id']} \\" for number, event in enumerate(events)]
            * 2000
        }


class SaidReducer:
    """Not this."""

    name = "com.example.many.said"
    description = "Counts.\x1b[31m  In\n two lines."

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        return {"count": sum(1 for _ in events)}
