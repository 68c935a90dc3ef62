"""Prints while it is imported, and is otherwise a good plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

print("printed by the plugin")


class CountingReducer:
    name = "com.example.prints.at.import"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        return {"events": sum(1 for _ in events)}
