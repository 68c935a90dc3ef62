"""Every method ends the process at once, without unwinding, and claims success."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any


def misbehave() -> Any:
    os._exit(0)


class MisbehavingEventPlugin:
    name = "com.example.vanishes.event"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        misbehave()
        return True

    def cli_command(self) -> str | None:
        return None


class MisbehavingReducer:
    name = "com.example.vanishes.reducer"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        misbehave()
        return {"events": sum(1 for _ in events)}


class MisbehavingExportPlugin:
    name = "vanishes"

    def export(self, vault_path: str, output_path: str) -> None:
        with open(output_path, "w") as output:
            output.write("half of an ex")
            output.flush()
            misbehave()
            output.write("port\n")
