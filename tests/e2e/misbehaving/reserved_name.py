"""Wants the name of a core type, in another case."""

from __future__ import annotations

from typing import Any


class ReservedEventPlugin:
    name = "Genesis"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        return True

    def cli_command(self) -> str | None:
        return None
