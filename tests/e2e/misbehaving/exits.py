"""Every method ends the interpreter, politely."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any


def misbehave() -> Any:
    sys.exit(0)


class MisbehavingEventPlugin:
    name = "com.example.exits.event"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        misbehave()
        return True

    def cli_command(self) -> str | None:
        return None


class MisbehavingReducer:
    name = "com.example.exits.reducer"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        misbehave()
        return {"events": sum(1 for _ in events)}


class MisbehavingExportPlugin:
    name = "exits"

    def export(self, vault_path: str, output_path: str) -> None:
        with open(output_path, "w") as output:
            output.write("half of an ex")
            output.flush()
            misbehave()
            output.write("port\n")
