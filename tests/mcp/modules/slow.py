"""A plugin whose methods take ten minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any


class SlowEvent:
    name = "com.example.slow.event"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        time.sleep(600)
        return True

    def cli_command(self) -> str | None:
        return None


class SlowReducer:
    name = "com.example.slow"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        time.sleep(600)
        return {}
