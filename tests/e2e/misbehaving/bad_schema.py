"""Has a schema that is no JSON Schema."""

from __future__ import annotations

from typing import Any


class BadSchemaEventPlugin:
    name = "com.example.bad.schema"
    schema = {"type": "objekt"}

    def validate(self, data: dict[str, Any]) -> bool:
        return True

    def cli_command(self) -> str | None:
        return None
