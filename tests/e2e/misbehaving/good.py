"""Behaves: what every misbehaving plugin must not keep from working."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class GoodEventPlugin:
    name = "com.example.good.event"
    schema = {
        "type": "object",
        "required": ["n"],
        "properties": {"n": {"type": "integer"}},
    }

    def validate(self, data: dict[str, Any]) -> bool:
        return True

    def cli_command(self) -> str | None:
        return "good"


class GoodReducer:
    name = "com.example.good.reducer"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        return {"events": sum(1 for _ in events)}


class GoodExportPlugin:
    name = "good"

    def export(self, vault_path: str, output_path: str) -> None:
        from pathlib import Path

        log = Path(vault_path, "events", "events.ndjson").read_text()
        Path(output_path).write_text(f"{len(log.splitlines())} events\n")
