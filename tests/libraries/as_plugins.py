"""Plugins of each kind, each of which tries one library of :mod:`cases`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cases
from provara.plugins import registry


class Event:
    """Tries its library in ``validate``."""

    schema: dict[str, Any] = {"type": "object"}

    def __init__(self, case: str, label: str) -> None:
        self.case = case
        self.name = f"com.example.libraries.{label}"

    def validate(self, data: dict[str, Any]) -> bool:
        cases.attempt(self.case)
        return True

    def cli_command(self) -> str | None:
        return None


class Reducer:
    """Tries its library in ``reduce``."""

    def __init__(self, case: str, label: str) -> None:
        self.case = case
        self.name = f"com.example.libraries.{label}"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        cases.attempt(self.case)
        return {"events": sum(1 for _ in events)}


class Export:
    """Tries its library in ``export``."""

    def __init__(self, case: str, label: str) -> None:
        self.case = case
        self.name = f"com.example.libraries.{label}"

    def export(self, vault_path: str, output_path: str) -> None:
        cases.attempt(self.case)
        Path(output_path).write_text("done\n")


for _index, _case in enumerate(cases.CASES):
    registry.register_event_type(Event(_case, f"n{_index}"))
    registry.register_reducer(Reducer(_case, f"n{_index}"))
    registry.register_export(Export(_case, f"n{_index}"))
