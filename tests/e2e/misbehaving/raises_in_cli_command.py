"""Cannot say what its alias is."""

from __future__ import annotations

from typing import Any


class UnaliasedEventPlugin:
    name = "com.example.unaliased.event"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        return True

    def cli_command(self) -> str | None:
        raise RuntimeError("the alias is broken")
