"""Every method crashes the interpreter, as a broken extension module would."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any


def misbehave() -> Any:
    ctypes.string_at(0)


class MisbehavingEventPlugin:
    name = "com.example.crashes.event"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        misbehave()
        return True

    def cli_command(self) -> str | None:
        return None


class MisbehavingReducer:
    name = "com.example.crashes.reducer"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        misbehave()
        return {"events": sum(1 for _ in events)}


class MisbehavingExportPlugin:
    name = "crashes"

    def export(self, vault_path: str, output_path: str) -> None:
        with open(output_path, "w") as output:
            output.write("half of an ex")
            output.flush()
            misbehave()
            output.write("port\n")
