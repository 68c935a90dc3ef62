"""Every method works, and prints to every stream, among it what looks like a frame."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any


def misbehave() -> Any:
    print("printed by the plugin")
    print("\x1b[31mred\x1b[0m \x07 bell", file=sys.stderr)
    os.write(1, b'\x00\x00\x00\x0b{"id":1,"ok"}')
    sys.stdout.write("no line end")
    sys.stdout.flush()


class MisbehavingEventPlugin:
    name = "com.example.prints.event"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        misbehave()
        return True

    def cli_command(self) -> str | None:
        return None


class MisbehavingReducer:
    name = "com.example.prints.reducer"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        misbehave()
        return {"events": sum(1 for _ in events)}


class MisbehavingExportPlugin:
    name = "prints"

    def export(self, vault_path: str, output_path: str) -> None:
        with open(output_path, "w") as output:
            output.write("half of an ex")
            output.flush()
            misbehave()
            output.write("port\n")
