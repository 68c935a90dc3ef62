"""Cannot say what its schema is."""

from __future__ import annotations

from typing import Any


class SchemalessEventPlugin:
    name = "com.example.schemaless.event"

    @property
    def schema(self) -> dict[str, Any]:
        raise RuntimeError("the schema is broken")

    def validate(self, data: dict[str, Any]) -> bool:
        return True

    def cli_command(self) -> str | None:
        return None
