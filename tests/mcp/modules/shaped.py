"""Event types whose members name their kinds in every way but by a plain `type`, as generators write them."""

from __future__ import annotations

from typing import Any, Literal, Optional

from pydantic import BaseModel


class Reading(BaseModel):
    """A reading, as pydantic writes its schema."""

    note: str = ""
    count: Optional[int] = None  # noqa: UP045 - as authors write it; pydantic makes an `anyOf`
    ratio: float | None = None
    flags: list[bool] | None = None
    level: Literal[1, 2, 3] = 1
    either: int | str = 0


class ReadingEvent:
    name = "com.example.shaped.reading"
    schema = Reading.model_json_schema()

    def validate(self, data: dict[str, Any]) -> bool:
        Reading.model_validate(data, strict=True)
        return True


class SwitchEvent:
    name = "com.example.shaped.switch"
    schema = {
        "type": "object",
        "properties": {
            "on": {"enum": [True, False]},
            "always": {"const": True},
            "place": {"$ref": "#/$defs/Place"},
            "mixed": {"enum": ["1", 2]},
        },
        "required": ["on"],
        "additionalProperties": False,
        "$defs": {"Place": {"oneOf": [{"type": "null"}, {"type": "array"}]}},
    }

    def validate(self, data: dict[str, Any]) -> bool:
        return True


class KeyedEvent:
    """One whose data may have a member of the name that the tools have for repeated calls."""

    name = "com.example.shaped.keyed"
    schema = {"type": "object", "required": ["idempotency_key"]}

    def validate(self, data: dict[str, Any]) -> bool:
        return True
